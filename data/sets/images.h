#pragma once
// Sets of labelled images, as their archives hold them. Readers throw IoError where a file is missing, InputError
// naming file and record where it is truncated, of another kind, or holds images of mixed shapes.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace vapo::data {

// Files of a folder that are no images which are read.
struct LeftOut {
  std::string kind;  // "AVIF", where it is known by content or ending; else the ending, ".txt"
  int64_t count = 0;
  std::string first;  // of these files, in the order of names
};
// "3 AVIF, 2 .txt, 1 without an ending": at most six kinds by name.
std::string text_of(const std::vector<LeftOut>& left_out);

struct ImageSet {
  Tensor pixels;                          // u8 (N,H,W,C), C = 1 or 3
  Tensor labels = {};                     // i64 (N), undefined where the files have none
  std::vector<std::string> classes = {};  // the name of label i, where the set names them
  std::vector<std::string> files = {};    // of each image, where each has one of its own
  std::vector<std::string> skipped = {};  // files that could not be read, where that was asked for
  std::vector<LeftOut> left_out = {};     // by kind, the most frequent first; without hidden files
  std::vector<std::string> remarks = {};  // what else a person must be told, a line each
  // Images of each label, of those without any that a class names too; empty without labels.
  std::vector<int64_t> class_counts() const;
  int64_t count() const { return pixels.dim(0); }
  Shape image_shape() const { return {pixels.dim(1), pixels.dim(2), pixels.dim(3)}; }
};

enum class Subset { train, validation, test };  // sets without a validation part refuse it

// Of images that come in other sizes than they are used in: the largest centre square (or the centre square of
// `crop` pixels a side), then an antialiased resize to size × size.
struct ImageOptions {
  int64_t size = 0;              // 0: as they are
  int64_t crop = 0;              // 0: the set's usual one
  bool skip_unreadable = false;  // of a folder: go on without a broken file, and list it
  // How messages name the two: what a person can do about a broken file, and about images of several sizes.
  std::string skip_hint = "skip_unreadable = true";
  std::string size_hint = "a size, to which all are brought";
};

ImageSet read_idx(const std::filesystem::path& images, const std::filesystem::path& labels);  // .gz or not
ImageSet read_mnist(const std::filesystem::path& folder,
                    Subset subset);  // the four idx(.gz) files; Fashion-MNIST too
// The binary versions: data_batch_1..5.bin, test_batch.bin, batches.meta.txt; train.bin, test.bin (the fine
// labels), fine_label_names.txt. Each file holds any whole number of records; a path of such a file is read alone.
ImageSet read_cifar10(const std::filesystem::path& path, Subset subset);
ImageSet read_cifar100(const std::filesystem::path& path, Subset subset);
ImageSet read_svhn(const std::filesystem::path& folder, Subset subset);  // train_32x32.mat, test_32x32.mat
// img_align_celeba/*.jpg at full (178×218, crop 140) or half size (89×109, crop 70), with the partition and
// attribute files (the official .txt or .csv) beside it. No labels. Default size 64.
ImageSet read_celeba(const std::filesystem::path& folder, Subset subset, const ImageOptions& options);
// The images (image_file.h) below a folder, in the order of their names; where any lies in a subfolder, the subfolders
// are the classes, in the order of their names as text ("10" before "2"), those without images too. Links are
// followed; a folder that a class comes to a second time is not read again. A file of another ending is an image
// where its first bytes say so. Files whose name begins with a point, and the folders that other programs leave
// (__MACOSX, @eaDir), are not looked at.
ImageSet read_image_folder(const std::filesystem::path& folder, const ImageOptions& options);
ImageSet read_image_array(const std::filesystem::path& file);  // .npy, u8 (N,H,W) or (N,H,W,C)
// Of the arrays in a .npz (npz.h): `arr_0`, pixels as in an .npy; `arr_1`, where it is there, integer labels (N).
ImageSet image_set_of(const std::map<std::string, Tensor>& arrays, const std::string& file);

// By name: mnist, fashion_mnist, cifar10, cifar100, svhn, celeba, image_folder, image_array. An empty path means
// $VAPO_DATA/NAME for those with a name of their own (as the archives are called: cifar-10-batches-bin, …).
// image_folder and image_array are all train. Throws InputError for an unknown name, listing these, and where a
// size is asked of a set whose images have another.
std::vector<std::string> image_set_names();
ImageSet read_images(const std::string& name, const std::filesystem::path& path, Subset subset,
                     const ImageOptions& options = {});

}  // namespace vapo::data
