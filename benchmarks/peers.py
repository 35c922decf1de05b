"""The rows that other libraries have a learning rule or sampler for, by their own code.

The networks are PyTorch's, with the first weights of the row. A row that a library has no rule
for is a `NotImplementedError`.
"""

import importlib.metadata
import sys
import types

import torch
from torch import nn

from benchmarks.plain_torch import tensors

VERSIONS = {
    name: importlib.metadata.version(name)
    for name in ("torch", "pyro-ppl", "pythae", "torchebm", "torch-mimicry")
    if importlib.util.find_spec({"pyro-ppl": "pyro"}.get(name, name.replace("-", "_")))
}


class Stack(nn.Module):
    """Affine layers of given weights; tanh after each but the heads."""

    def __init__(self, weights, num_hidden=2):
        super().__init__()
        self.hidden = nn.ModuleList(_linear(*weights[2 * i : 2 * i + 2]) for i in range(num_hidden))
        rest = weights[2 * num_hidden :]
        self.heads = nn.ModuleList(_linear(*pair) for pair in zip(rest[0::2], rest[1::2]))

    def forward(self, x):
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        return tuple(head(x) for head in self.heads)


def _linear(kernel, bias):
    layer = nn.Linear(*kernel.shape)
    with torch.no_grad():
        layer.weight.copy_(kernel.t())
        layer.bias.copy_(bias)
    return layer


class _Loop:
    families: tuple[str, ...] = ()

    def __init__(self, workload):
        if workload.family not in self.families:
            raise NotImplementedError
        torch.manual_seed(0)
        self.workload = workload
        self.x = torch.tensor(workload.data())
        self.prepare({name: [t.detach() for t in part] for name, part in tensors(workload).items()})

    def run(self, steps):
        """Takes steps and returns the mean loss."""
        size = self.workload.rows_a_step
        losses = [self.step(self.x[i * size : (i + 1) * size]) for i in range(steps)]
        return sum(float(loss) for loss in losses) / steps


class Pyro(_Loop):
    """SVI with an analytic KL, `RenyiELBO(alpha=0)` (the IWAE bound), `ReweightedWakeSleep`."""

    families = ("vae", "iwae", "sbn")

    def prepare(self, w):
        """Model, guide and inference."""
        import pyro
        import pyro.distributions as dist
        from pyro import infer

        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        workload, k = self.workload, self.workload.num_samples
        if workload.family == "sbn":
            if workload["rule"] != "rws":
                raise NotImplementedError
            model, guide = self._sbn(w, pyro, dist)
            loss = infer.ReweightedWakeSleep(
                num_particles=k, vectorize_particles=True, max_plate_nesting=1
            )
        else:
            decoder, encoder = Stack(w["generative"]), Stack(w["inference"])

            def model(x):
                pyro.module("decoder", decoder)
                with pyro.plate("rows", len(x)):
                    h = pyro.sample("h", dist.Normal(x.new_zeros(50), 1.0).to_event(1))
                    pyro.sample("x", dist.Bernoulli(logits=decoder(h)[0]).to_event(1), obs=x)

            def guide(x):
                pyro.module("encoder", encoder)
                with pyro.plate("rows", len(x)):
                    loc, raw = encoder(x)
                    scale = nn.functional.softplus(raw)
                    pyro.sample("h", dist.Normal(loc, scale).to_event(1))

            if workload.family == "vae":
                loss = infer.TraceMeanField_ELBO()
            else:
                loss = infer.RenyiELBO(
                    alpha=0, num_particles=k, vectorize_particles=True, max_plate_nesting=1
                )
        # Pyro's own step, which knows nothing of a fused kernel.
        adam = pyro.optim.Adam({"lr": 1e-3, "eps": 1e-7})
        svi = pyro.infer.SVI(model, guide, adam, loss=loss)

        def step(x):
            loss = svi.step(x)
            loss = loss[0] if isinstance(loss, tuple) else loss
            return loss / len(x)

        self.step = step

    def _sbn(self, w, pyro, dist):
        g, q = w["generative"], w["inference"]
        prior = nn.ParameterList([nn.Parameter(g[0].clone())])
        down = nn.ModuleList([_linear(*g[1:3]), _linear(*g[3:5])])
        up = nn.ModuleList([_linear(*q[0:2]), _linear(*q[2:4])])

        def model(x):
            pyro.module("prior", prior)
            pyro.module("down", down)
            with pyro.plate("rows", len(x)):
                h2 = pyro.sample("h2", dist.Bernoulli(logits=prior[0]).to_event(1))
                h1 = pyro.sample("h1", dist.Bernoulli(logits=down[0](h2)).to_event(1))
                pyro.sample("x", dist.Bernoulli(logits=down[1](h1)).to_event(1), obs=x)

        def guide(x):
            pyro.module("up", up)
            with pyro.plate("rows", len(x)):
                options = {"infer": {"is_auxiliary": False}}
                h1 = pyro.sample("h1", dist.Bernoulli(logits=up[0](x)).to_event(1), **options)
                pyro.sample("h2", dist.Bernoulli(logits=up[1](h1)).to_event(1), **options)

        return model, guide


class Pythae(_Loop):
    """pythae's VAE and IWAE, in a plain loop with the fused Adam."""

    families = ("vae", "iwae")

    def prepare(self, w):
        """Model and optimiser."""
        from pythae.models import IWAE, VAE, IWAEConfig, VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder

        class Encoder(BaseEncoder):
            def __init__(self):
                super().__init__()
                self.stack = Stack(w["inference"])

            def forward(self, x):
                loc, raw = self.stack(x.reshape(len(x), -1))
                log_variance = 2.0 * torch.log(nn.functional.softplus(raw))
                return ModelOutput(embedding=loc, log_covariance=log_variance)

        class Decoder(BaseDecoder):
            def __init__(self):
                super().__init__()
                self.stack = Stack(w["generative"])

            def forward(self, h):
                out = torch.sigmoid(self.stack(h)[0])
                return ModelOutput(reconstruction=out)

        options = {"input_dim": (784,), "latent_dim": 50, "reconstruction_loss": "bce"}
        if self.workload.family == "vae":
            model = VAE(VAEConfig(**options), Encoder(), Decoder())
        else:
            samples = self.workload.num_samples
            config = IWAEConfig(**options, number_samples=samples)
            model = IWAE(config, Encoder(), Decoder())
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=True)

        def step(x):
            loss = model({"data": x}).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return loss.detach()

        self.step = step


class TorchEBM(_Loop):
    """torchebm's Langevin sampler."""

    families = ("langevin",)

    def prepare(self, w):
        """Energy and sampler."""
        from torchebm.core import BaseModel
        from torchebm.samplers import LangevinDynamics

        class Energy(BaseModel):
            def __init__(self):
                super().__init__()
                linear = [_linear(*w["field"][2 * i : 2 * i + 2]) for i in range(3)]
                leaky = nn.LeakyReLU(0.2)
                self.net = nn.Sequential(linear[0], leaky, linear[1], leaky, linear[2])

            def forward(self, x):
                return -self.net(x)[:, 0]

        workload = self.workload
        energy = Energy()
        size = workload["step_size"]
        # Its step is x - step_size grad E + sqrt(2 step_size) noise_scale xi.
        sampler = LangevinDynamics(model=energy, step_size=0.5 * size, noise_scale=1.0)

        def step(x):
            start = torch.randn(workload.batch, 2)
            state = sampler.sample(x=start, n_steps=workload["moves"])
            with torch.no_grad():
                return -energy(state).mean()

        self.step = step


def _mimicry(*names):
    """Modules of mimicry, without the rest of it, which needs TensorFlow and torchvision."""
    if "torch_mimicry" in sys.modules:
        path = sys.modules["torch_mimicry"].__path__[0]
    else:
        path = importlib.util.find_spec("torch_mimicry").submodule_search_locations[0]
    for part in ("", ".nets", ".nets.gan", ".nets.basemodel", ".modules", ".training"):
        package = types.ModuleType(f"torch_mimicry{part}")
        package.__path__ = [path + part.replace(".", "/")]
        sys.modules.setdefault(package.__name__, package)
    return [importlib.import_module(f"torch_mimicry.{name}") for name in names]


class Mimicry(_Loop):
    """mimicry's losses and its steps of the two players, on the row's networks.

    Not `wgan-gp`: its gradient penalty is written for pictures of three colours.
    """

    families = ("gan",)

    def prepare(self, w):
        """Networks and optimisers."""
        gan, log = _mimicry("nets.gan.gan", "training.metric_log")
        workload, width = self.workload, self.workload["width"]
        if workload["penalty"]:
            raise NotImplementedError
        g, c = w["generator"], w["critic"]

        class Generator(gan.BaseGenerator):
            def __init__(self):
                super().__init__(nz=64, ngf=width, bottom_width=7, loss_type="ns")
                self.net = nn.Sequential(
                    _given(nn.Linear(64, 49 * 2 * width, bias=False), g[0].t()),
                    nn.Unflatten(1, (2 * width, 7, 7)),
                    _given(nn.BatchNorm2d(2 * width, eps=1e-3), *g[1:3]),
                    nn.ReLU(),
                    _given(nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), g[3]),
                    _given(nn.BatchNorm2d(width, eps=1e-3), *g[4:6]),
                    nn.ReLU(),
                    _given(nn.ConvTranspose2d(width, 1, 4, 2, 1), *g[6:8]),
                    nn.Tanh(),
                )

            def forward(self, e):
                return self.net(e)

        class Critic(gan.BaseDiscriminator):
            def __init__(self):
                super().__init__(ndf=width, loss_type="ns")
                self.net = nn.Sequential(
                    _given(nn.Conv2d(1, width, 4, 2, 1), *c[0:2]),
                    nn.LeakyReLU(0.2),
                    _given(nn.Conv2d(width, 2 * width, 4, 2, 1), *c[2:4]),
                    nn.LeakyReLU(0.2),
                    nn.Flatten(),
                    _given(nn.Linear(49 * 2 * width, 1), c[4].t(), c[5]),
                )

            def forward(self, x):
                return self.net(x)

        generator, critic = Generator(), Critic()
        adam = {
            net: torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-7, fused=True)
            for net in (generator, critic)
        }
        self.x = self.x.permute(0, 3, 1, 2).contiguous()

        def step(x):
            metrics = log.MetricLog()
            for real in x.split(workload.batch):
                critic.train_step((real, None), generator, adam[critic], metrics)
            generator.train_step((real, None), critic, adam[generator], metrics)
            return metrics.metrics_dict["errD"]["value"]

        self.step = step


def _given(layer, *tensors):
    """The layer with these parameters."""
    with torch.no_grad():
        for parameter, tensor in zip(layer.parameters(), tensors):
            parameter.copy_(tensor)
    return layer
