// The golden runner itself: what it accepts, and that it fails when it should.

#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <functional>

#include "golden.h"
#include "tensor/io/safetensors.h"
#include "tensor/random.h"

using namespace golden;
namespace fs = std::filesystem;

namespace {

// Writes a case, runs it, removes it.
Verdict judge(const TensorFile& file) {
  fs::path path = fs::temp_directory_path() / fmt::format("vapo-golden-test-{}.safetensors", getpid());
  write_safetensors(path, file);
  Verdict v = run_file(path);
  fs::remove(path);
  return v;
}

Tensor row(std::initializer_list<double> values) {
  return Tensor::from(std::vector<double>(values), {static_cast<int64_t>(values.size())});
}

// y = x³ at 2 and −1 with cotangents 1 and 3, second cotangents 1 and −2: every expected tensor by hand.
TensorFile cube() {
  TensorFile f;
  f.metadata = {{"op", "pow"}, {"attrs", R"({"exponent": 3})"}, {"rtol", "1e-12"}, {"atol", "0"}};
  f.tensors = {{"in.x", row({2, -1})},        {"out.y", row({8, -1})},   {"cot.y", row({1, 3})},
               {"grad.x", row({12, 9})},      {"ggcot.x", row({1, -2})}, {"ggrad.x", row({12, 36})},
               {"ggrad.cot.y", row({12, -6})}};
  return f;
}

// Φ of x (4,2) through two hidden layers of two tanh units, all matrices alike: only the order of the names tells
// them apart. Layer i is called names[i], its parameters .w and .b.
TensorFile network(const std::vector<std::string>& names, const std::string& w, const std::string& b) {
  TensorFile f;
  f.metadata = {
      {"op", "mlp_potential"},
      {"attrs",
       R"({"in_features": 2, "hidden": [2, 2], "activation": "tanh", "time_embedding": 0, "classes": 0})"}};
  Tensor x = randn({4, 2}, {1}, DType::f64), h = x;
  f.tensors["in.x"] = x;
  for (uint32_t layer = 0; layer < 3; ++layer) {
    int64_t out = layer < 2 ? 2 : 1;
    Tensor weight = randn({out, 2}, {2, layer}, DType::f64), bias = randn({out}, {3, layer}, DType::f64);
    f.tensors[fmt::format("param.{}{}", names[layer], w)] = weight;
    f.tensors[fmt::format("param.{}{}", names[layer], b)] = bias;
    Tensor next = Tensor::zeros({4, out}, DType::f64);
    for (int64_t n = 0; n < 4; ++n)
      for (int64_t i = 0; i < out; ++i) {
        double y = bias.at(i) + weight.at(2 * i) * h.at(2 * n) + weight.at(2 * i + 1) * h.at(2 * n + 1);
        next.mutable_data<double>()[n * out + i] = layer < 2 ? std::tanh(y) : y;
      }
    h = next;
  }
  f.tensors["out.energy"] = h.reshape({4});
  f.tensors["cot.energy"] = Tensor::ones({4}, DType::f64);
  for (const char* prefix : {"grad.", "grad.param."})
    f.tensors[fmt::format("{}{}{}", prefix, names[2], b)] = Tensor::full({1}, 4, DType::f64);
  return f;
}

}  // namespace

TEST_CASE("a right case passes and every part of it is compared") {
  Verdict v = judge(cube());
  CHECK(v.passed);
  CHECK(v.compared == 4);
  CHECK(v.error < 1e-12);
  CHECK(v.message == "");
}

TEST_CASE("one wrong number anywhere fails, and its tensor is named") {
  for (const char* name : {"out.y", "grad.x", "ggrad.x", "ggrad.cot.y"}) {
    TensorFile f = cube();
    Tensor x = f.tensors[name].clone();
    x.mutable_data<double>()[1] += 1e-9;
    f.tensors[name] = x;
    Verdict v = judge(f);
    CHECK_FALSE(v.passed);
    CHECK(v.tensor == name);
    CHECK(v.compared == 4);
  }
}

TEST_CASE("a value that is not finite must be expected") {
  TensorFile f;
  f.metadata = {{"op", "log"}};
  f.tensors = {{"in.x", row({0, 1, -1})}, {"out.y", row({-INFINITY, 0, NAN})}};
  CHECK(judge(f).passed);
  f.tensors["out.y"] = row({-INFINITY, 0, 0});
  CHECK_FALSE(judge(f).passed);
  f.tensors["out.y"] = row({INFINITY, 0, NAN});
  CHECK_FALSE(judge(f).passed);
}

TEST_CASE("the tolerance is atol + rtol·max|b| of each tensor, with defaults by dtype") {
  auto off_by = [](double d, DType dtype, std::map<std::string, std::string> metadata) {
    TensorFile f;
    f.metadata = std::move(metadata);
    f.metadata["op"] = "neg";
    f.tensors = {{"in.x", row({-100, 0}).to(dtype)}, {"out.y", row({100, d}).to(dtype)}};
    return judge(f);
  };
  CHECK(off_by(0.9, DType::f64, {{"rtol", "0.005"}, {"atol", "0.5"}}).passed);
  CHECK(off_by(0.9, DType::f64, {{"rtol", "0.005"}, {"atol", "0.5"}}).share == doctest::Approx(0.9));
  CHECK_FALSE(off_by(1.1, DType::f64, {{"rtol", "0.005"}, {"atol", "0.5"}}).passed);
  CHECK(off_by(0.9e-8, DType::f64, {}).passed);
  CHECK_FALSE(off_by(1.1e-8, DType::f64, {}).passed);
  CHECK(off_by(1.9e-3, DType::f32, {}).passed);
  CHECK_FALSE(off_by(2.1e-3, DType::f32, {}).passed);
  CHECK_FALSE(off_by(0, DType::f64, {{"rtol", "small"}}).passed);
  CHECK_FALSE(off_by(0, DType::f64, {{"atol", "nan"}}).passed);
}

TEST_CASE("every op of the list is known") {
  for (const char* op : {"add",
                         "sub",
                         "mul",
                         "div",
                         "maximum",
                         "minimum",
                         "neg",
                         "exp",
                         "log",
                         "sqrt",
                         "rsqrt",
                         "square",
                         "sin",
                         "cos",
                         "tanh",
                         "sigmoid",
                         "silu",
                         "gelu",
                         "relu",
                         "leaky_relu",
                         "softplus",
                         "abs",
                         "pow",
                         "sum",
                         "mean",
                         "amax",
                         "logsumexp",
                         "softmax",
                         "norm",
                         "matmul",
                         "linear",
                         "conv2d",
                         "avg_pool2d",
                         "upsample_nearest2d",
                         "group_norm",
                         "group_norm_silu",
                         "attention",
                         "embedding",
                         "concat",
                         "slice",
                         "permute",
                         "reshape",
                         "pad2d",
                         "index_select",
                         "unet_potential",
                         "wide_resnet_potential",
                         "mlp_potential",
                         "vapo_loss",
                         "ode_solve",
                         "inception_fid",
                         "max_pool2d",
                         "gather",
                         "scatter_add"}) {
    TensorFile f;
    f.metadata = {{"op", op}};
    f.tensors = {{"in.nothing", Tensor::arange(2)}, {"out.y", row({1})}};
    CAPTURE(op);
    CHECK(judge(f).message.find("unknown op") == std::string::npos);
  }
}

TEST_CASE("maxima of windows, gather and scatter_add, with what PyTorch gives by hand") {
  auto numbers = [](std::vector<double> values, const Shape& s) { return Tensor::from(values, s); };
  TensorFile
      pool;  // one image of 1 channel, 3×4, windows of 2 in steps of 2: (0,1), (0,2) and none of the last row
  pool.metadata = {{"op", "max_pool2d"}, {"attrs", R"({"kernel": 2})"}};
  pool.tensors = {{"in.x", numbers({1, 5, 4, 4, 2, 5, 0, 4, 9, 9, 9, 9}, {1, 1, 3, 4})},
                  {"out.y", numbers({5, 4}, {1, 1, 1, 2})},
                  {"cot.y", numbers({2, 3}, {1, 1, 1, 2})},
                  {"grad.x", numbers({0, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {1, 1, 3, 4})},
                  {"ggcot.x", numbers({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {1, 1, 3, 4})},
                  {"ggrad.cot.y", numbers({2, 3}, {1, 1, 1, 2})}};
  CHECK(judge(pool).passed);
  pool.metadata["attrs"] = R"({"kernel": 2, "stride": 1, "padding": [0, 1]})";
  CHECK_FALSE(judge(pool).passed);  // other shapes
  TensorFile picked;
  picked.metadata = {{"op", "gather"}, {"attrs", R"({"dim": 1})"}};
  picked.tensors = {{"in.x", numbers({1, 2, 3, 4}, {2, 2})},
                    {"in.idx", Tensor::from(std::vector<int64_t>{0, 0, 1, 1, 0, 1}, {2, 3})},
                    {"out.y", numbers({1, 1, 2, 4, 3, 4}, {2, 3})},
                    {"cot.y", numbers({1, 2, 3, 4, 5, 6}, {2, 3})},
                    {"grad.x", numbers({3, 3, 5, 10}, {2, 2})}};
  CHECK(judge(picked).passed);
  TensorFile added;
  added.metadata = {{"op", "scatter_add"}, {"attrs", R"({"dim": 0})"}};
  added.tensors = {{"in.x", numbers({1, 2, 3}, {3})},
                   {"in.src", numbers({10, 20, 30, 40}, {4})},
                   {"in.idx", Tensor::from(std::vector<int64_t>{2, 0, 2}, {3})},
                   {"out.y", numbers({21, 2, 43}, {3})},
                   {"cot.y", numbers({5, 6, 7}, {3})},
                   {"grad.x", numbers({5, 6, 7}, {3})},
                   {"grad.src", numbers({7, 5, 7, 0}, {4})}};
  CHECK(judge(added).passed);
}

TEST_CASE("outputs and parameters may have any names") {
  TensorFile f = cube();
  for (const char* prefix : {"out.", "cot.", "ggrad.cot."}) {
    f.tensors[std::string(prefix) + "strange.name"] = f.tensors[std::string(prefix) + "y"];
    f.tensors.erase(std::string(prefix) + "y");
  }
  CHECK(judge(f).passed);
  f.tensors["in.points"] = f.tensors["in.x"];
  f.tensors.erase("in.x");
  CHECK(judge(f).message == "'grad.x' names no input or parameter");

  Verdict own = judge(network({"layers.0", "layers.1", "layers.2"}, ".weight", ".bias"));
  CHECK(own.passed);
  CHECK(own.compared == 3);
  CHECK(judge(network({"net.9", "net.10", "net.11"}, ".w", ".b")).passed);
  CHECK_FALSE(judge(network({"net.10", "net.9", "net.11"}, ".w", ".b")).passed);
  TensorFile extra = network({"a", "b", "c"}, ".w", ".b");
  extra.tensors["param.z"] = row({1, 2});
  CHECK(judge(extra).message == "'param.z' (2) fits no parameter of the network");
}

TEST_CASE("what is left out is not compared, what nothing reaches is zero") {
  TensorFile f = cube();
  for (const char* name : {"grad.x", "ggrad.cot.y", "out.y"}) f.tensors.erase(name);
  CHECK(judge(f).passed);
  CHECK(judge(f).compared == 1);
  for (const char* name : {"ggrad.x", "ggcot.x"}) f.tensors.erase(name);
  CHECK(judge(f).message == "nothing to compare: no 'out.…', 'grad.…' or 'ggrad.…'");

  TensorFile linear;
  linear.metadata = {{"op", "neg"}};
  linear.tensors = {{"in.x", row({1, 2})},
                    {"cot.y", row({1, 1})},
                    {"ggcot.x", row({3, 4})},
                    {"ggrad.x", row({0, 0})},
                    {"ggrad.cot.y", row({-3, -4})}};
  CHECK(judge(linear).passed);
  linear.tensors["ggrad.x"] = row({0, 1});
  CHECK_FALSE(judge(linear).passed);
}

TEST_CASE("a case that cannot be computed is a failure that says why") {
  auto message = [](const std::function<void(TensorFile&)>& change) {
    TensorFile f = cube();
    change(f);
    Verdict v = judge(f);
    CHECK_FALSE(v.passed);
    return v.message;
  };
  CHECK(message([](TensorFile& f) { f.metadata["op"] = "group_norm_tanh"; }) == "unknown op 'group_norm_tanh'");
  CHECK(message([](TensorFile& f) { f.metadata.erase("op"); }) == "no 'op' in the metadata: not a golden case");
  CHECK(message([](TensorFile& f) { f.metadata["attrs"] = "{ not JSON"; }) == "metadata 'attrs' is no JSON object");
  CHECK(message([](TensorFile& f) { f.metadata["attrs"] = "{}"; }) == "attribute 'exponent' is missing");
  CHECK(message([](TensorFile& f) { f.metadata["attrs"] = R"({"exponent": "3"})"; }) ==
        "attribute 'exponent' is \"3\"");
  CHECK(message([](TensorFile& f) { f.metadata["op"] = "add"; }) == "add needs the input 'in.a'");
  CHECK(message([](TensorFile& f) { f.tensors.erase("in.x"); }) == "pow needs the input 'in.x'");
  CHECK(message([](TensorFile& f) { f.tensors["out.y"] = row({8}); }) ==
        "out.y has shape (2), the file expects (1)");
  CHECK(message([](TensorFile& f) { f.tensors["out.z"] = row({8}); }) ==
        "'out.z' is expected, but pow gives no such output");
  CHECK(message([](TensorFile& f) { f.tensors["grad.w"] = row({8}); }) == "'grad.w' names no input or parameter");
  CHECK(message([](TensorFile& f) { f.tensors["cot.y"] = row({8}); }).find("(1)") != std::string::npos);
  CHECK(message([](TensorFile& f) { f.tensors.erase("ggcot.x"); }).find("no 'ggcot.…'") != std::string::npos);

  fs::path path = fs::temp_directory_path() / fmt::format("vapo-golden-broken-{}", getpid());
  std::ofstream(path) << "no tensors at all";
  CHECK_FALSE(run_file(path).passed);
  CHECK(run_file(path).message.find("vapo-golden-broken") != std::string::npos);
  fs::remove(path);
  CHECK_FALSE(run_file(path).passed);
}
