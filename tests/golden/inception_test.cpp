// The golden op inception_fid: beside PyTorch's features, with norms that have to be folded.

#include <doctest/doctest.h>
#include <unistd.h>

#include "data/pictures/image_file.h"
#include "golden.h"
#include "tensor/io/safetensors.h"
#include "tests/vapo/inception_weights.h"

using namespace golden;
namespace fs = std::filesystem;

namespace {

// Parameters as the port stores them: folded, they are those of the formula.
void put_parameters(TensorFile& f, Inception& network) {
  using kernel::Binary, kernel::binary, kernel::affine;
  std::string unit;
  Tensor scale;
  uint64_t step = 0;
  network.parameters([&](const std::string& name, Var& p) {
    if (name == "fc.weight") {
      f.tensors["param.fc.weight"] = p.value();
      f.tensors["param.fc.bias"] = Tensor::ones({p.dim(0)});
    } else if (name.ends_with(".conv.weight")) {
      unit = "param." + name.substr(0, name.size() - std::string(".conv.weight").size());
      auto draw = [&](double low, double high) {
        return rand({p.dim(0)}, {.seed = 8, .step = step++}, low, high, DType::f64);
      };
      Tensor variance = draw(0.5, 2), gamma = draw(0.5, 2);
      scale = binary(Binary::mul, gamma, kernel::unary<Rsqrt>(affine(variance, 1, 1e-3)));
      Tensor w = binary(Binary::div, p.value().to(DType::f64), scale.reshape({p.dim(0), 1, 1, 1}));
      f.tensors[unit + ".conv.weight"] = channels_first(w).value().to(DType::f32);
      f.tensors[unit + ".bn.weight"] = gamma.to(DType::f32);
      f.tensors[unit + ".bn.running_var"] = variance.to(DType::f32);
      f.tensors[unit + ".bn.running_mean"] = draw(-1, 1).to(DType::f32);
    } else {
      Tensor mean = f.tensors[unit + ".bn.running_mean"].to(DType::f64);
      f.tensors[unit + ".bn.bias"] =
          binary(Binary::add, p.value().to(DType::f64), binary(Binary::mul, mean, scale)).to(DType::f32);
    }
  });
}

Verdict judge(const TensorFile& file) {
  fs::path path = fs::temp_directory_path() / fmt::format("vapo-golden-inception-{}.safetensors", getpid());
  write_safetensors(path, file);
  Verdict v = run_file(path);
  fs::remove(path);
  return v;
}

}  // namespace

TEST_CASE("inception_fid: PyTorch's features, under both resizes") {
  Inception network;
  testing::fill_by_formula(network);
  TensorFile f, golden = read_safetensors(fs::path(VAPO_GOLDEN_DIR) / "inception.safetensors");
  put_parameters(f, network);
  f.metadata = {{"op", "inception_fid"}, {"rtol", "1e-4"}, {"atol", "0"}, {"devices", "cpu"}};
  // images in [−1, 1] of the network's own size, as numbers from 0 to 255 under each mode's scale
  Tensor squares = rand({2, 23, 23, 3}, {.seed = testing::kInceptionSeed, .stream = 1}, -1, 1);
  Tensor images = channels_first(kernel::upsample_nearest2d(squares, 13, 1)).value();
  Tensor one = kernel::slice(images, 0, 0, 1, 1);
  f.tensors["in.x"] = kernel::affine(one, 127.5, 127.5);
  f.tensors["out.pool3"] = kernel::slice(golden.tensors["features"], 0, 0, 1, 1);
  f.metadata["attrs"] = R"({"resize": "pytorch-fid"})";
  CHECK(judge(f).passed);
  f.metadata["attrs"] = R"({"resize": "tf1"})";
  CHECK_FALSE(judge(f).passed);  // another scale
  // whole numbers of another size, beside the network itself
  Tensor pixels = data::to_pixels(kernel::slice(squares, 0, 1, 2, 1));
  f.tensors["in.x"] = channels_first(pixels).value();
  f.tensors["out.pool3"] = network(data::resize_for_features(pixels, 299, 299, data::FeatureResize::tf1)).features;
  CHECK(judge(f).passed);
  f.tensors["in.x"] = channels_first(Var(pixels.to(DType::f32))).value();
  CHECK(judge(f).passed);

  auto message = [&](const std::function<void(TensorFile&)>& change) {
    TensorFile broken = f;
    change(broken);
    Verdict v = judge(broken);
    CHECK_FALSE(v.passed);
    return v.message;
  };
  CHECK(message([](TensorFile& b) { b.metadata["attrs"] = "{}"; }) == "attribute 'resize' is missing");
  CHECK(message([](TensorFile& b) { b.metadata["attrs"] = R"({"resize": "bicubic"})"; }) ==
        "unknown resize 'bicubic': expected one of tf1, pytorch-fid");
  CHECK(message([](TensorFile& b) { b.tensors.erase("param.Mixed_5b.branch1x1.bn.bias"); }) ==
        "inception_fid needs 'param.Mixed_5b.branch1x1.bn.bias'");
  CHECK(message([](TensorFile& b) {
          b.tensors["in.x"] = Tensor::full({1, 3, 80, 80}, 300);
        }) == "'in.x' holds 300, expected 0 to 255");
}
