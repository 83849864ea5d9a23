#include "apps/sampling/sampling.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/run/command.h"
#include "tensor/check.h"
#include "tensor/kernels.h"
#include "vapo/composition.h"
#include "vapo/likelihood.h"

namespace vapo::app {
namespace {

constexpr int64_t kPointBatch = 4096, kImageBatch = 64;  // multiples of 4: noise starts at whole Philox blocks

// f(rows begin … begin+count−1) in batches, the results stacked, on the CPU.
template <class F>
Tensor in_batches(int64_t n, int64_t batch, const F& f) {
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

Tensor rows(const Tensor& x, int64_t begin, int64_t count) {
  return !x.defined() || count == x.dim(0) ? x : kernel::slice(x, 0, begin, begin + count, 1);
}

// The model's potential as a request asks for it, of some of its rows.
std::shared_ptr<Potential> potential_of(const Model& model, const SampleRequest& request, int64_t begin,
                                        int64_t count) {
  if (request.potential) return never_alone(request.potential(begin, count));
  if (!request.labels.defined()) return never_alone(model.potential);
  return never_alone(
      guided(model.potential, classes_of(model.config), rows(request.labels, begin, count), request.guidance));
}

}  // namespace

void fail_not_finite(const NonFinite& bad, const Config::Sample& s) {
  const char* hint = s.method == "sgld"                          ? "a smaller --step-size"
                     : s.method == "euler" || s.method == "heun" ? "more --steps"
                                                                 : "a smaller --rtol and --atol";
  throw DivergedError(fmt::format("samples are {} {}. Hint: {}", bad.name(), bad.where(), hint));
}

int64_t batch_of(const Model& model, const Config::Sample& s) {
  int64_t n = s.batch_size > 0 ? s.batch_size : model.of_images() ? kImageBatch : kPointBatch;
  while (n * model.dims() % 4 != 0) ++n;
  return n;
}

Field flow_field(const Potential& phi, const Tensor& labels) {
  return [&phi, labels](const Tensor& x, double t) { return gradient(phi, x, std::min(t, 1.0), labels); };
}

OdeOptions ode_options(const Config::Sample& s) {
  return {.method = ode_method_from_name(s.method), .rtol = s.rtol, .atol = s.atol, .steps = s.steps, .times = {}};
}

Config::Sample by_flow(Config::Sample s) {
  if (s.method == "sgld") s.method = "rk45";
  return s;
}

void note_raised_tolerances(const OdeOptions& asked, double rtol, double atol) {
  if (rtol <= asked.rtol && atol <= asked.atol) return;
  note_once(
      fmt::format("the model computes in f32, whose rounding hides errors this small: rtol {} became {:.1e}, "
                  "atol {} became {:.0e}",
                  asked.rtol, std::max(rtol, asked.rtol), asked.atol, std::max(atol, asked.atol)));
}

SgldOptions sgld_options(const Config::Sample& s, uint64_t seed) {
  return {
      .step_size = s.step_size, .temperature = s.temperature, .steps = s.sgld_steps, .key = {seed, kSgldStream, 0}};
}

Tensor prior_noise(const Model& model, int64_t n, uint64_t seed, int64_t first) {
  Shape shape{n};
  for (int64_t size : model.sample) shape.push_back(size);
  Tensor x = randn(shape, {seed, kSampleStream, 0}, {DType::f32, model.device}, first * model.dims());
  double scale = model.path.prior_scale();
  return scale == 1 ? x : kernel::affine(x, scale, 0);
}

Tensor classes_in_turn(int64_t n, int64_t classes) {
  std::vector<int64_t> y(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) y[static_cast<size_t>(i)] = i % classes;
  return Tensor::from(y, {n});
}

Samples draw_samples(const Model& model, const Config::Sample& s, const SampleRequest& request) {
  Stopwatch watch;
  Samples out;
  if (s.method != "sgld" && s.t_start >= s.t_end)
    throw InputError(
        fmt::format("sample.t_start = {} must be below where the flow ends, t = {}", s.t_start, s.t_end));
  double rtol = 0, atol = 0;
  auto before = [&] {
    if (request.before) request.before();
  };
  out.x = in_batches(request.n, batch_of(model, s), [&](int64_t begin, int64_t count) {
    std::shared_ptr<Potential> phi = potential_of(model, request, begin, count);
    Tensor start = request.start.defined() ? rows(request.start, begin, count).to(model.device)
                                           : prior_noise(model, count, request.seed, request.first + begin);
    if (s.method == "sgld") {
      SgldOptions options = sgld_options(s, request.seed);
      options.first = request.first + begin;
      out.nfe = s.sgld_steps;
      return sgld(s.energy == "boltzmann" ? model.boltzmann(*phi) : model.marginal(*phi), start, options,
                  [&](const SgldReport&) { before(); });
    }
    OdeResult result;
    if (request.own_steps) {
      TimedField field = [&](const Tensor& x, const Tensor& t) {
        before();
        return gradient(*phi, x, kernel::binary(kernel::Binary::minimum, t, Tensor::ones({}, t.options())));
      };
      result = integrate_each(field, start, s.t_start, s.t_end, ode_options(s));
    } else {
      Field flow = flow_field(*phi), field = [&](const Tensor&x, double t) { return before(), flow(x, t); };
      result = integrate(field, start, s.t_start, s.t_end, ode_options(s));
    }
    out.nfe = std::max(out.nfe, result.nfe);
    rtol = std::max(rtol, result.rtol), atol = std::max(atol, result.atol);
    return result.x;
  });
  if (s.method != "sgld") note_raised_tolerances(ode_options(s), rtol, atol);
  if (!model.of_images()) out.x = model.standardization.undo(out.x);
  out.seconds = watch.seconds();
  return out;
}

Tensor energy_at(const Energy& energy, const Model& model, const Tensor& points) {
  NoGradGuard no_grad;
  Tensor x = model.standardization.apply(points).to(DType::f32).to(model.device);
  return in_batches(x.dim(0), kPointBatch,
                    [&](int64_t begin, int64_t count) { return energy(rows(x, begin, count)).value(); });
}

Likelihoods likelihood_of(const Model& model, const Tensor& points, const LikelihoodRequest& request) {
  Stopwatch watch;
  Likelihoods out;
  double rtol = 0, atol = 0;
  Tensor x = model.standardization.apply(points).to(DType::f32).to(model.device);
  LikelihoodOptions options{
      .trace = request.exact ? LikelihoodOptions::Trace::exact : LikelihoodOptions::Trace::hutchinson,
      .probes = request.probes,
      .key = {request.seed, kProbeStream, 0},
      .ode = {.rtol = request.tolerance, .atol = request.tolerance, .times = {}}};
  Tensor log_p = in_batches(x.dim(0), kPointBatch, [&](int64_t begin, int64_t count) {
    options.key.step = static_cast<uint64_t>(begin / kPointBatch);
    LikelihoodResult result = log_likelihood(*model.potential, model.path, rows(x, begin, count), options);
    out.nfe = std::max(out.nfe, result.nfe);
    rtol = std::max(rtol, result.rtol), atol = std::max(atol, result.atol);
    return result.log_likelihood;
  });
  note_raised_tolerances(options.ode, rtol, atol);
  out.log_likelihood = kernel::affine(log_p, 1, -model.standardization.log_scale());
  out.seconds = watch.seconds();
  return out;
}

}  // namespace vapo::app
