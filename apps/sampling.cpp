#include "apps/sampling.h"

#include <algorithm>

#include "apps/command.h"
#include "tensor/kernels.h"
#include "vapo/likelihood.h"

namespace vapo::app {
namespace {

constexpr int64_t kBatch = 4096;  // a multiple of 4: the noise of a batch starts at a whole Philox block

// f(rows begin … begin+count−1) in batches, the results stacked, on the CPU.
template <class F>
Tensor in_batches(int64_t n, const F& f) {
  std::vector<Tensor> parts;
  for (int64_t begin = 0; begin < n; begin += kBatch)
    parts.push_back(f(begin, std::min(kBatch, n - begin)).to(Device::cpu));
  return parts.size() == 1 ? parts[0] : kernel::concat(parts, 0);
}

Tensor rows(const Tensor& x, int64_t begin, int64_t count) {
  return count == x.dim(0) ? x : kernel::slice(x, 0, begin, begin + count, 1);
}

}  // namespace

Field flow_field(const Model& model) {
  return [&phi = *model.potential](const Tensor& x, double t) { return gradient(phi, x, std::min(t, 1.0)); };
}

OdeOptions ode_options(const Config::Sample& s) {
  return {.method = ode_method_from_name(s.method), .rtol = s.rtol, .atol = s.atol, .steps = s.steps, .times = {}};
}

SgldOptions sgld_options(const Config::Sample& s, uint64_t seed) {
  return {
      .step_size = s.step_size, .temperature = s.temperature, .steps = s.sgld_steps, .key = {seed, kSgldStream, 0}};
}

Tensor prior_noise(const Model& model, int64_t n, uint64_t seed, int64_t first) {
  Tensor x = randn({n, model.dims()}, {seed, kSampleStream, 0}, {DType::f32, model.device}, first * model.dims());
  double scale = model.path.prior_scale();
  return scale == 1 ? x : kernel::affine(x, scale, 0);
}

Samples draw_samples(const Model& model, const Config::Sample& s, int64_t n, uint64_t seed) {
  Stopwatch watch;
  Samples out;
  Tensor x = in_batches(n, [&](int64_t begin, int64_t count) {
    Tensor noise = prior_noise(model, count, seed, begin);
    if (s.method != "sgld") {
      OdeResult result = integrate(flow_field(model), noise, s.t_start, s.t_end, ode_options(s));
      out.nfe = std::max(out.nfe, result.nfe);
      return result.x;
    }
    SgldOptions options = sgld_options(s, seed);
    options.key.step = static_cast<uint64_t>(begin / kBatch) << 32;  // each batch has its own noise
    out.nfe = s.sgld_steps;
    return sgld(s.energy == "boltzmann" ? model.boltzmann() : model.marginal(), noise, options);
  });
  out.x = model.standardization.undo(x);
  out.seconds = watch.seconds();
  return out;
}

Tensor energy_at(const Energy& energy, const Model& model, const Tensor& points) {
  NoGradGuard no_grad;
  Tensor x = model.standardization.apply(points).to(DType::f32).to(model.device);
  return in_batches(x.dim(0), [&](int64_t begin, int64_t count) { return energy(rows(x, begin, count)).value(); });
}

Likelihoods likelihood_of(const Model& model, const Tensor& points, const LikelihoodRequest& request) {
  Stopwatch watch;
  Likelihoods out;
  Tensor x = model.standardization.apply(points).to(DType::f32).to(model.device);
  LikelihoodOptions options{
      .trace = request.exact ? LikelihoodOptions::Trace::exact : LikelihoodOptions::Trace::hutchinson,
      .probes = request.probes,
      .key = {request.seed, kProbeStream, 0},
      .ode = {.rtol = request.tolerance, .atol = request.tolerance, .times = {}}};
  Tensor log_p = in_batches(x.dim(0), [&](int64_t begin, int64_t count) {
    options.key.step = static_cast<uint64_t>(begin / kBatch);
    LikelihoodResult result = log_likelihood(*model.potential, model.path, rows(x, begin, count), options);
    out.nfe = std::max(out.nfe, result.nfe);
    return result.log_likelihood;
  });
  out.log_likelihood = kernel::affine(log_p, 1, -model.standardization.log_scale());
  out.seconds = watch.seconds();
  return out;
}

}  // namespace vapo::app
