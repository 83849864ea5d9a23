// The network of the Fréchet inception distance, from parameters as its PyTorch port names them.

#include <cmath>

#include "data/pictures/image_file.h"
#include "golden.h"
#include "nn/module.h"
#include "tensor/kernels.h"
#include "vapo/networks/inception.h"

namespace golden {
namespace {

constexpr double kNormEps = 1e-3;

const Tensor& parameter(const Case& c, const std::string& name, const Shape& shape) {
  auto it = c.inputs.find("param." + name);
  if (it == c.inputs.end()) throw InputError(fmt::format("inception_fid needs 'param.{}'", name));
  if (it->second.shape() != shape)
    throw InputError(fmt::format("'param.{}' has shape {}, the network expects {}", name, it->second.shape().str(),
                                 shape.str()));
  return it->second.value();
}

// Batch norms of inference are affine: with them weight·s and bias β − mean·s, s = γ/√(variance + ε), in f64.
void fold(const Case& c, const std::string& unit, Var& weight, Var& bias) {
  using kernel::Binary, kernel::binary;
  Shape o{bias.dim(0)}, in_file{o[0], weight.dim(3), weight.dim(1), weight.dim(2)};
  auto norm = [&](const char* name) {
    return parameter(c, fmt::format("{}.bn.{}", unit, name), o).to(Device::cpu).to(DType::f64);
  };
  Tensor s =
      binary(Binary::mul, norm("weight"), kernel::unary<Rsqrt>(kernel::affine(norm("running_var"), 1, kNormEps)));
  Tensor w = channels_last(parameter(c, unit + ".conv.weight", in_file).to(Device::cpu).to(DType::f64)).value();
  Tensor b = binary(Binary::sub, norm("bias"), binary(Binary::mul, norm("running_mean"), s));
  weight = binary(Binary::mul, w, s.reshape({o[0], 1, 1, 1})).to(c.dtype).to(weight.device());
  bias = b.to(c.dtype).to(bias.device());
}

}  // namespace

Named inception_features(const Case& c) {
  auto resize = from_name<data::FeatureResize>(attr<std::string>(c.attrs, "resize"));
  const Tensor& x = c.input("x").value();
  if (x.rank() != 4 || x.dim(1) != 3)
    throw InputError(fmt::format("'in.x' has shape {}, expected (N,3,H,W)", x.shape().str()));
  // numbers 0 … 255, stored as whole ones or not
  Tensor pixels = is_floating(x.dtype()) ? x.to(Device::cpu) : x.to(c.dtype);
  for (int64_t i = 0; i < pixels.numel(); ++i)
    if (double v = pixels.at(i); !(v >= 0 && v <= 255))
      throw InputError(fmt::format("'in.x' holds {}, expected 0 to 255", v));
  Tensor images =
      data::resize_for_features(channels_last(pixels).value(), Inception::kSize, Inception::kSize, resize);

  Inception network;
  Device device = parameter(c, "fc.weight", {Inception::kLogits, Inception::kFeatures}).device();
  std::string suffix = ".conv.weight", unit;
  Var* weight = nullptr;
  network.parameters([&](const std::string& name, Var& p) {
    p = p.value().to(c.dtype).to(device);
    if (name.ends_with(suffix)) {
      unit = name.substr(0, name.size() - suffix.size()), weight = &p;
    } else if (name == "fc.weight") {  // of the logits, which are no output here
      p = parameter(c, name, p.shape());
    } else {
      fold(c, unit, *weight, p);
    }
  });
  return {{"", network(images.to(c.dtype).to(device)).features}};
}

}  // namespace golden
