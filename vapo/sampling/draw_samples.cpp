#include "vapo/sampling/draw_samples.h"

#include <algorithm>
#include <bit>

#include "tensor/check.h"
#include "tensor/kernels.h"
#include "vapo/sampling/composition.h"
#include "vapo/sampling/sgld.h"
#include "vapo/streams.h"

namespace vapo {
namespace {

constexpr int64_t kPointBatch = 4096, kImageBatch = 64;  // multiples of 4: noise starts at whole Philox blocks

// Of images on a GPU, which is filled by about so many numbers: 1024 of MNIST, 256 of CIFAR-10, 64 of (64,64,3).
int64_t images_that_fill_a_gpu(int64_t dims) {
  constexpr uint64_t numbers = 1 << 20, most = 1024;
  return std::max(kImageBatch,
                  static_cast<int64_t>(std::min(most, std::bit_floor(numbers / static_cast<uint64_t>(dims)))));
}

Tensor rows_of(const Tensor& x, int64_t begin, int64_t count) {
  return !x.defined() || count == x.dim(0) ? x : kernel::slice(x, 0, begin, begin + count, 1);
}

// Whether ∇Φ is one function of all batches. That of Langevin dynamics has its labels in the energy.
bool in_common(const SamplerOptions& o, const SampleRequest& request) {
  return !request.potential && !(o.langevin && request.labels.defined());
}

// The model's potential as a request asks for it: of some of its rows, or of all.
std::shared_ptr<Potential> potential_of(const Model& model, const SamplerOptions& o, const SampleRequest& request,
                                        int64_t begin, int64_t count) {
  if (request.potential) return never_alone(request.potential(begin, count));
  if (!request.labels.defined()) return never_alone(model.potential);
  int64_t classes = model.recipe.classes();
  if (in_common(o, request)) return never_alone(guided(model.potential, classes, request.guidance));
  return never_alone(guided(model.potential, classes, rows_of(request.labels, begin, count), request.guidance));
}

Tensor langevin(const Model& model, const Potential& phi, const SamplerOptions& o, const Tensor& start,
                const SampleRequest& request, int64_t begin) {
  SgldOptions options = o.sgld;
  options.key = {request.seed, kSgldStream, 0};
  options.first = request.first + begin;
  options.recorded = request.recorded;
  double t = o.energy_t.value_or(model.recipe.energy.marginal_t);
  Energy energy =
      o.energy == EnergyKind::marginal ? marginal_energy(phi, model.path(), t) : model.energy(o.energy, phi);
  std::function<void(const SgldReport&)> observe;
  if (request.before) observe = [&](const SgldReport&) { request.before(); };
  return sgld(energy, start, options, observe);
}

OdeResult carried(RecordedGradient& gradient, const SamplerOptions& o, const Tensor& start,
                  const SampleRequest& request, int64_t begin) {
  auto before = [&] {
    if (request.before) request.before();
  };
  if (!request.own_steps || o.heat > 0) {
    Field field = [&](const Tensor& x, double t) { return before(), gradient(x, std::min(t, 1.0)); };
    if (o.heat > 0) {
      OdeResult out;
      out.x = heated_flow(field, start, o.t_start, o.t_end, o.ode.steps, o.heat, {request.seed, kSgldStream, 0},
                          request.first + begin);
      out.nfe = o.ode.steps;
      return out;
    }
    return integrate(field, start, o.t_start, o.t_end, o.ode);
  }
  TimedField field = [&](const Tensor& x, const Tensor& t) {
    before();
    return gradient(x, kernel::binary(kernel::Binary::minimum, t, Tensor::ones({}, t.options())));
  };
  return integrate_each(field, start, o.t_start, o.t_end, o.ode);
}

void check_sampler(const Model& model, const SamplerOptions& o) {
  double t = o.energy_t.value_or(model.recipe.energy.marginal_t);
  if (o.langevin && o.denoise && (o.energy != EnergyKind::marginal || !(t > o.t_start && t < o.t_end)))
    throw InputError(
        fmt::format("denoising: of chains of the marginal energy at a time between {} and {}, and they are of the "
                    "{} energy at t = {}. Hint: --t 0.8",
                    o.t_start, o.t_end, name_of(o.energy), t));
  if (o.langevin || o.heat == 0) return;
  if (o.ode.method != OdeMethod::euler)
    throw InputError(
        fmt::format("a flow at temperature {} takes steps of one length. Hint: --method euler, or sgld", o.heat));
  if (!model.potential->autonomous())
    throw InputError(
        "a flow at a temperature is of an autonomous potential, and this one is told the time. Hint: --method "
        "sgld");
}

}  // namespace

Tensor in_batches(int64_t n, int64_t batch, const std::function<Tensor(int64_t, int64_t)>& f) {
  std::vector<Tensor> parts;
  for (int64_t begin = 0; begin < n; begin += batch) {
    int64_t count = std::min(batch, n - begin);
    try {
      parts.push_back(f(begin, count).to(Device::cpu));
    } catch (const DivergedError& e) {
      if (count == n) throw;
      throw DivergedError(fmt::format("{} (in the batch of samples {} to {})", e.what(), begin, begin + count - 1));
    }
  }
  return parts.size() == 1 ? parts[0] : kernel::concat(parts, 0);
}

int64_t batch_of(const Model& model, const SamplerOptions& o) {
  int64_t n = o.batch_size;
  if (n == 0 && !model.of_images()) n = kPointBatch;
  if (n == 0) n = model.device == Device::cpu ? kImageBatch : images_that_fill_a_gpu(model.dims());
  while (n * model.dims() % 4 != 0) ++n;
  return n;
}

Field flow_field(const Potential& phi, const Tensor& labels) {
  return [gradient = std::make_shared<RecordedGradient>(phi, labels)](const Tensor& x, double t) {
    return (*gradient)(x, std::min(t, 1.0));
  };
}

Tensor prior_noise(const Model& model, int64_t n, uint64_t seed, int64_t first) {
  Shape shape{n};
  for (int64_t size : model.sample) shape.push_back(size);
  Tensor x = randn(shape, {seed, kSampleStream, 0}, {DType::f32, model.device}, first * model.dims());
  double scale = model.path().prior_scale();
  return scale == 1 ? x : kernel::affine(x, scale, 0);
}

Tensor classes_in_turn(int64_t n, int64_t classes) {
  std::vector<int64_t> y(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) y[static_cast<size_t>(i)] = i % classes;
  return Tensor::from(y, {n});
}

Samples draw_samples(const Model& model, const SamplerOptions& o, const SampleRequest& request) {
  check_sampler(model, o);
  Samples out;
  if (!o.langevin && o.t_start >= o.t_end)
    throw InputError(
        fmt::format("sample.t_start = {} must be below where the flow ends, t = {}", o.t_start, o.t_end));
  if (request.labels.defined() && !request.potential)  // throws for those that the network does not have
    conditioned(model.potential, model.recipe.classes(), request.labels);
  SharedFlow own, &flow = request.shared ? *request.shared : own;
  out.x = in_batches(request.n, batch_of(model, o), [&](int64_t begin, int64_t count) {
    if (!flow.gradient || !in_common(o, request)) {
      flow = {};  // before another takes memory
      flow.phi = potential_of(model, o, request, begin, count);
      flow.gradient = std::make_unique<RecordedGradient>(*flow.phi, Tensor(), request.recorded);
    }
    Tensor start = request.start.defined() ? rows_of(request.start, begin, count).to(model.device)
                                           : prior_noise(model, count, request.seed, request.first + begin);
    int64_t nfe = 0;
    if (in_common(o, request)) flow.gradient->set_labels(rows_of(request.labels, begin, count));
    auto follow = [&](const Tensor& x, double from, double to) {
      SamplerOptions part = o;
      part.t_start = from, part.t_end = to;
      OdeResult result = carried(*flow.gradient, part, x, request, begin);
      out.refusal = flow.gradient->refusal();
      out.nfe = std::max(out.nfe, nfe += result.nfe);
      out.rtol = std::max(out.rtol, result.rtol), out.atol = std::max(out.atol, result.atol);
      return result.x;
    };
    if (!o.langevin) return follow(start, o.t_start, o.t_end);
    out.nfe = nfe = o.sgld.steps;
    if (!o.denoise) return langevin(model, *flow.phi, o, start, request, begin);
    double t = o.energy_t.value_or(model.recipe.energy.marginal_t);
    return follow(langevin(model, *flow.phi, o, follow(start, o.t_start, t), request, begin), t, o.t_end);
  });
  // In f64: what f32 tells apart by scale, a column far from 0 would not.
  if (!model.of_images()) out.x = model.standardization.undo(out.x.to(DType::f64));
  return out;
}

Samples draw_samples(const Model& model, int64_t n, uint64_t seed) {
  return draw_samples(model, model.recipe.sample, {.n = n, .seed = seed});
}

}  // namespace vapo
