"""The arithmetic of every row, once, in the operations of a `lib`.

A `lib` (`plain_tensorflow`, `plain_jax`, `plain_torch`) gives native operations under common
names. A loss is a pure function `(lib, w, workload, *tensors)` of the weights `w` (dictionary
from player to list) and tensors; a step is `(lib, w, workload, x, index, noise, move, state)`,
which draws, and calls `move(players, loss, *tensors)` for each move. An estimate (samplers,
likelihoods) is a function `(lib, w, workload, x, noise)` of the same.
"""

import math

LOG_2PI = math.log(2.0 * math.pi)


def tanh_stack(lib, weights, x):
    for kernel, bias in zip(weights[0::2], weights[1::2]):
        x = lib.tanh(lib.affine(x, kernel, bias))
    return x


def encode(lib, q, x):
    features = tanh_stack(lib, q[:4], x)
    return lib.affine(features, q[4], q[5]), lib.softplus(lib.affine(features, q[6], q[7]))


def log_likelihood(lib, g, x, h):
    """log p(x | h) for h (K, batch, 50)."""
    k, batch, size = h.shape
    features = tanh_stack(lib, g[:4], lib.reshape(h, (k * batch, size)))
    logits = lib.reshape(lib.affine(features, g[4], g[5]), (k, batch, 784))
    return lib.sum(lib.bernoulli(x, logits), -1)


def log_weights(lib, w, x, eps):
    loc, scale = encode(lib, w["inference"], x)
    h = loc + scale * eps
    log_q = lib.sum(-0.5 * (eps * eps + LOG_2PI) - lib.log(scale), -1)
    log_prior = lib.sum(-0.5 * (h * h + LOG_2PI), -1)
    return log_likelihood(lib, w["generative"], x, h) + log_prior - log_q


def vae_loss(lib, w, workload, x, eps):
    loc, scale = encode(lib, w["inference"], x)
    kl = lib.sum(0.5 * (loc * loc + scale * scale - 1.0) - lib.log(scale), -1)
    return lib.mean(kl) - lib.mean(log_likelihood(lib, w["generative"], x, loc + scale * eps))


def iwae_loss(lib, w, workload, x, eps):
    terms = log_weights(lib, w, x, eps)
    return math.log(workload.num_samples) - lib.mean(lib.logsumexp(terms, 0))


def latent_step(loss):
    def step(lib, w, workload, x, index, noise, move, state):
        eps = noise.normal((workload.num_samples, workload.batch, 50))
        return move(("generative", "inference"), loss, x, eps)

    return step


def iw_likelihood(lib, w, workload, x, noise):
    """Mean of log (1/K) sum_k w_k over the rows, in chunks."""
    chunk = workload["chunk"]
    chunks = workload.num_samples // chunk

    def body(i, parts):
        eps = noise.at(i).normal((chunk, workload.batch, 50))
        return lib.logaddexp(parts, lib.logsumexp(log_weights(lib, w, x, eps), 0))

    total = lib.loop(chunks, body, lib.full((workload.batch,), -1e30))
    return lib.mean(total) - math.log(workload.num_samples)


def sbn_terms(lib, w, x, first, second, start=None):
    """(log p(x, h), log q(h | x)) at draws of q, or with a first state from elsewhere."""
    g, q = w["generative"], w["inference"]
    k, batch, size = first.shape

    def fold(h):
        return lib.reshape(h, (k * batch, size))

    def draw(uniform, logits, given):
        h = lib.stop(lib.less(uniform, lib.sigmoid(logits)))
        return h if start is None else lib.where_first(start["keep"], given, h)

    a1 = lib.affine(x, q[0], q[1])
    h1 = draw(first, a1, start and start["h1"])
    a2 = lib.reshape(lib.affine(fold(h1), q[2], q[3]), (k, batch, size))
    h2 = draw(second, a2, start and start["h2"])
    log_q = lib.sum(lib.bernoulli(h1, a1), -1) + lib.sum(lib.bernoulli(h2, a2), -1)
    b1 = lib.reshape(lib.affine(fold(h2), g[1], g[2]), (k, batch, size))
    bx = lib.reshape(lib.affine(fold(h1), g[3], g[4]), (k, batch, 784))
    log_p = lib.sum(lib.bernoulli(h2, g[0]), -1) + lib.sum(lib.bernoulli(h1, b1), -1)
    return log_p + lib.sum(lib.bernoulli(x, bx), -1), log_q, h1, h2


def rws_loss(lib, w, workload, x, first, second):
    log_p, log_q, _, _ = sbn_terms(lib, w, x, first, second)
    terms = lib.stop(log_p - log_q)
    bound = lib.logsumexp(terms, 0)
    share = lib.exp(terms - bound)
    loss = -lib.mean(lib.sum(share * (log_p + log_q), 0))
    return loss, math.log(workload.num_samples) - lib.mean(bound)


def vimco_loss(lib, w, workload, x, first, second):
    log_p, log_q, _, _ = sbn_terms(lib, w, x, first, second)
    terms, k = log_p - log_q, workload.num_samples
    others = (lib.sum(terms, 0) - terms) / (k - 1)
    rows = [lib.where_row(number, others[number], terms) for number in range(k)]
    bound = lib.logsumexp(terms, 0)
    without = lib.stack([lib.logsumexp(row, 0) for row in rows])
    score = lib.sum(lib.stop(bound - without) * log_q, 0)
    return math.log(k) - lib.mean(bound) - lib.mean(score), math.log(k) - lib.mean(bound)


def jsa_loss(lib, w, workload, x, first, second, log_uniform, h1, h2, keep):
    """K Metropolis independence moves from the cached states, and the mean over those visited."""
    start = {"h1": h1, "h2": h2, "keep": keep}
    log_p, log_q, h1, h2 = sbn_terms(lib, w, x, first, second, start)
    terms = lib.stop(log_p - log_q)
    held, at = terms[0], lib.zeros_int((workload.batch,))
    share = 0.0
    for t in range(1, workload.num_samples + 1):
        accept = lib.less(log_uniform[t - 1], terms[t] - held)
        held = held + accept * (terms[t] - held)
        at = lib.where(accept > 0.5, lib.full_int((workload.batch,), t), at)
        share = share + lib.one_hot(at, workload.num_samples + 1)
    loss = -lib.mean(lib.sum(share * (log_p + log_q), 0)) / workload.num_samples
    return loss, (loss, lib.pick(h1, at), lib.pick(h2, at))


def sbn_step(lib, w, workload, x, index, noise, move, state):
    rule, players = workload["rule"], ("generative", "inference")
    k = workload.num_samples + (rule == "jsa")
    first, second = noise.uniform((k, workload.batch, 200)), noise.uniform((k, workload.batch, 200))
    if rule != "jsa":
        return move(players, {"rws": rws_loss, "vimco": vimco_loss}[rule], x, first, second)
    log_uniform = lib.log(noise.uniform((workload.num_samples, workload.batch)))
    h1, h2 = lib.rows(state["h1"], index), lib.rows(state["h2"], index)
    keep = lib.rows(state["seen"], index)
    loss, h1, h2 = move(players, jsa_loss, x, first, second, log_uniform, h1, h2, keep)
    for name, value in (("h1", h1), ("h2", h2), ("seen", keep + (1.0 - keep))):
        lib.write_rows(state, name, index, value)
    return loss


def generate(lib, w, workload, e):
    g, width = w["generator"], workload["width"]
    x = lib.reshape_image(lib.matmul(e, g[0]), (7, 7, 2 * width))
    x = lib.relu(lib.batch_norm(x, g[1], g[2]))
    x = lib.relu(lib.batch_norm(lib.up(x, g[3]), g[4], g[5]))
    return lib.tanh(lib.up(x, g[6], g[7]))


def look(lib, w, x):
    c = w["critic"]
    x = lib.leaky_relu(lib.down(x, c[0], c[1]))
    x = lib.leaky_relu(lib.down(x, c[2], c[3]))
    return lib.affine(lib.flatten_image(x), c[4], c[5])[:, 0]


def critic_loss(lib, w, workload, real, fake, share):
    v = look(lib, w, lib.concat([real, fake]))
    real_v, fake_v = v[: workload.batch], v[workload.batch :]
    if not workload["penalty"]:
        return lib.mean(lib.softplus(-real_v)) + lib.mean(lib.softplus(fake_v))
    points = real + share * (fake - real)
    slope = lib.input_gradient(lambda x: look(lib, w, x), points, differentiable=True)
    norm = lib.sqrt(lib.sum_image(slope * slope))
    loss = lib.mean(fake_v) - lib.mean(real_v)
    return loss + 10.0 * lib.mean((norm - 1.0) * (norm - 1.0)), loss


def generator_loss(lib, w, workload, e):
    v = look(lib, w, generate(lib, w, workload, e))
    return -lib.mean(v) if workload["penalty"] else lib.mean(lib.softplus(-v))


def gan_step(lib, w, workload, x, index, noise, move, state):
    for number in range(workload["critic_steps"]):
        real = x[number * workload.batch : (number + 1) * workload.batch]
        fake = lib.stop(generate(lib, w, workload, noise.normal((workload.batch, 64))))
        loss = move(("critic",), critic_loss, real, fake, noise.uniform((workload.batch, 1, 1, 1)))
    move(("generator",), generator_loss, noise.normal((workload.batch, 64)))
    return loss


def field(lib, weights, x):
    for kernel, bias in zip(weights[0:-2:2], weights[1:-2:2]):
        x = lib.leaky_relu(lib.affine(x, kernel, bias))
    return lib.affine(x, weights[-2], weights[-1])[:, 0]


def log_joint(lib, g, x, h):
    features = h
    for kernel, bias in zip(g[0:-2:2], g[1:-2:2]):
        features = lib.relu(lib.affine(features, kernel, bias))
    z = (x - lib.affine(features, g[-2], g[-1])) / 0.3
    log_x = lib.sum(-0.5 * (z * z + LOG_2PI) - math.log(0.3), -1)
    return log_x + lib.sum(-0.5 * (h * h + LOG_2PI), -1)


def field_loss(lib, w, workload, x, revised):
    return lib.mean(field(lib, w["field"], revised)) - lib.mean(field(lib, w["field"], x))


def joint_loss(lib, w, workload, x, h):
    return -lib.mean(log_joint(lib, w["generator"], x, h))


def random_field_step(lib, w, workload, x, index, noise, move, state):
    g, size = w["generator"], workload["step_size"]
    h = noise.normal((workload.batch, 50))
    features = h
    for kernel, bias in zip(g[0:-2:2], g[1:-2:2]):
        features = lib.relu(lib.affine(features, kernel, bias))
    y = lib.affine(features, g[-2], g[-1]) + 0.3 * noise.normal((workload.batch, 784))
    first = noise.normal((workload["sampler_steps"], workload.batch, 784))
    second = noise.normal((workload["sampler_steps"], workload.batch, 50))

    def body(i, both):
        y, h = both
        along_y = lib.input_gradient(lambda y: field(lib, w["field"], y), y)
        along_h = lib.input_gradient(lambda h: log_joint(lib, g, y, h), h)
        y = y + 0.5 * size * along_y + size**0.5 * first[i]
        return y, h + 0.5 * size * along_h + size**0.5 * second[i]

    y, h = lib.loop(workload["sampler_steps"], body, (lib.stop(y), h))
    loss = move(("field",), field_loss, x, y)
    move(("generator",), joint_loss, y, h)
    return loss


def langevin(lib, w, workload, x, noise):
    """Mean potential of the chains after all moves."""
    size = workload["step_size"]
    state = noise.normal((workload.batch, 2))

    def body(i, x):
        slope = lib.input_gradient(lambda x: field(lib, w["field"], x), x)
        return x + 0.5 * size * slope + size**0.5 * noise.at(i).normal((workload.batch, 2))

    return lib.mean(field(lib, w["field"], lib.loop(workload["moves"], body, state)))


def free(lib, weights, v, beta=1.0, base=None):
    kernel, visible, hidden = weights
    bias = visible if base is None else (1.0 - beta) * base + beta * visible
    logits = lib.affine(v, kernel, hidden)
    if base is not None:
        logits = beta * logits
    return lib.sum(lib.softplus(logits), -1) + lib.sum(v * bias, -1)


def gibbs(lib, weights, v, noise, beta=None, base=None):
    kernel, visible, hidden = weights
    up = lib.affine(v, kernel, hidden)
    up = up if beta is None else beta * up
    h = lib.less(noise.uniform((v.shape[0], 200)), lib.sigmoid(up))
    down = lib.matmul(h, lib.transpose(kernel))
    bias = visible if beta is None else (1.0 - beta) * base + beta * visible
    down = (down if beta is None else beta * down) + bias
    return lib.less(noise.uniform((v.shape[0], 784)), lib.sigmoid(down))


def rbm_loss(lib, w, workload, x, v):
    return lib.mean(free(lib, w["field"], v)) - lib.mean(free(lib, w["field"], x))


def rbm_step(lib, w, workload, x, index, noise, move, state):
    persistent = workload["persistent"]
    v = lib.loop(
        workload["gibbs_steps"],
        lambda i, v: gibbs(lib, w["field"], v, noise.at(i)),
        lib.value(state["chains"]) if persistent else x,
    )
    if persistent:
        lib.write(state, "chains", v)
    return move(("field",), rbm_loss, x, v)


def annealing(lib, w, workload, x, noise):
    """log Z by annealed importance sampling from independent units with the machine's biases."""
    weights, steps = w["field"], workload["temperatures"]
    base = weights[1]
    rows = workload.batch
    v = lib.less(noise.uniform((rows, 784)), lib.sigmoid(base))

    def body(i, both):
        v, total = both
        here, there = lib.to_float(i) / steps, lib.to_float(i + 1) / steps
        total = total + free(lib, weights, v, there, base) - free(lib, weights, v, here, base)
        return gibbs(lib, weights, v, noise.at(i), there, base), total

    _, total = lib.loop(steps, body, (v, lib.full((rows,), 0.0)))
    log_base = 200 * math.log(2.0) + lib.sum(lib.softplus(base), -1)
    return log_base + lib.logsumexp(total, 0) - math.log(rows)


STEPS = {
    "vae": latent_step(vae_loss),
    "iwae": latent_step(iwae_loss),
    "sbn": sbn_step,
    "gan": gan_step,
    "random_field": random_field_step,
    "rbm": rbm_step,
}
ESTIMATES = {"iw_likelihood": iw_likelihood, "langevin": langevin, "annealing": annealing}


def first_state(workload, num_data):
    """What a rule keeps between steps, a dictionary of shapes."""
    if workload.family == "sbn" and workload["rule"] == "jsa":
        return {"h1": (num_data, 200), "h2": (num_data, 200), "seen": (num_data, 1)}
    if workload.family == "rbm" and workload["persistent"]:
        return {"chains": (workload.batch, 784)}
    return {}
