// SVHN's cropped digits: MATLAB files with X (32,32,3,N), u8, the first size fastest, and y, 10 for the digit 0.

#include <matio.h>

#include <cstring>
#include <memory>

#include "data/archives.h"
#include "tensor/parallel.h"

namespace vapo::data {
namespace detail {
namespace {

constexpr int64_t side = 32, channels = 3;

using File = std::unique_ptr<mat_t, int (*)(mat_t*)>;
using Variable = std::unique_ptr<matvar_t, void (*)(matvar_t*)>;

std::string shape_of(const matvar_t& v) { return fmt::format("({})", fmt::join(v.dims, v.dims + v.rank, ",")); }

// The named variable with its elements; they are real numbers, and as many as its sizes say.
Variable read_variable(mat_t* file, const char* variable, const std::string& name) {
  Variable v(Mat_VarReadInfo(file, variable), Mat_VarFree);
  if (!v) refuse("'{}': no variable {} in it", name, variable);
  if (v->rank < 1 || !v->dims) refuse("'{}': {} has no sizes", name, variable);
  if (v->isComplex) refuse("'{}': {} is complex", name, variable);
  if (v->class_type != MAT_C_UINT8 && v->class_type != MAT_C_DOUBLE)
    refuse("'{}': {} is of MATLAB's class {}, expected uint8 or double", name, variable,
           static_cast<int>(v->class_type));
  if (Mat_VarReadDataAll(file, v.get()) != 0 || !v->data)
    refuse("'{}': the elements of {} are damaged. Hint: fetch it again", name, variable);
  size_t count = 1;
  for (int i = 0; i < v->rank; ++i) count *= v->dims[i];
  if (v->nbytes != count * static_cast<size_t>(v->data_size))
    refuse("'{}': {} has sizes {} and {} bytes", name, variable, shape_of(*v), v->nbytes);
  return v;
}

}  // namespace

ImageSet read_svhn_file(const std::filesystem::path& file, const std::string& name) {
  File mat(Mat_Open(file.c_str(), MAT_ACC_RDONLY), Mat_Close);
  if (!mat) refuse("'{}': not a MATLAB file", name);
  if (Mat_GetVersion(mat.get()) != MAT_FT_MAT5) refuse("'{}': not MATLAB's format 5", name);
  Variable x = read_variable(mat.get(), "X", name), y = read_variable(mat.get(), "y", name);
  if (x->rank != 4 || x->dims[0] != side || x->dims[1] != side || x->dims[2] != channels || x->dims[3] == 0 ||
      x->class_type != MAT_C_UINT8)
    refuse("'{}': X has sizes {}, expected bytes (32,32,3,N)", name, shape_of(*x));
  int64_t n = static_cast<int64_t>(x->dims[3]);
  if (y->rank != 2 || y->dims[0] * y->dims[1] != x->dims[3])
    refuse("'{}': {} images in X, sizes {} of y", name, n, shape_of(*y));
  ImageSet set{.pixels = Tensor::empty({n, side, side, channels}, DType::u8),
               .labels = Tensor::empty({n}, DType::i64)};
  const auto* from = static_cast<const uint8_t*>(x->data);
  uint8_t* to = set.pixels.mutable_data<uint8_t>();
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t w = 0; w < side; ++w)
        for (int64_t h = 0; h < side; ++h, ++from) to[((i * side + h) * side + w) * channels + c] = *from;
  for (int64_t i = 0; i < n; ++i) {
    double label = y->class_type == MAT_C_UINT8 ? static_cast<const uint8_t*>(y->data)[i]
                                                : static_cast<const double*>(y->data)[i];
    if (!(label >= 1 && label <= 10) || label != static_cast<double>(static_cast<int64_t>(label)))
      refuse("'{}': label {} of image {} (from 0), expected 1 to 10 (the digit 0)", name, label, i);
    set.labels.mutable_data<int64_t>()[i] = static_cast<int64_t>(label) % 10;
  }
  return set;
}

}  // namespace detail

ImageSet read_svhn(const std::filesystem::path& folder, Subset subset) {
  detail::refuse_validation(subset, "svhn");
  std::filesystem::path file = folder / (subset == Subset::train ? "train_32x32.mat" : "test_32x32.mat");
  return detail::read_svhn_file(file, file.string());
}

}  // namespace vapo::data
