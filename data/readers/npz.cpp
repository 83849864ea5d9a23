#include "data/readers/npz.h"

#include <fmt/format.h>
#include <zip.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/npy.h"
#include "tensor/io/printable.h"

namespace vapo::data {
namespace {

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
  void operator()(zip_source_t* source) const { zip_source_free(source); }
  void operator()(zip_file_t* entry) const { zip_fclose(entry); }
};
using Archive = std::unique_ptr<zip_t, Discard>;
using Source = std::unique_ptr<zip_source_t, Discard>;
using Entry = std::unique_ptr<zip_file_t, Discard>;

constexpr zip_uint16_t first_dos_date = 1 << 5 | 1;  // the first of January 1980

class ZipError {
 public:
  ZipError() { zip_error_init(&error_); }
  ~ZipError() { zip_error_fini(&error_); }
  ZipError(const ZipError&) = delete;
  ZipError& operator=(const ZipError&) = delete;
  zip_error_t* get() { return &error_; }
  std::string text() { return zip_error_strerror(&error_); }

 private:
  zip_error_t error_;
};

std::string read_entry(zip_t* archive, uint64_t index, const std::string& file) {
  zip_stat_t stat;
  zip_stat_init(&stat);
  constexpr uint64_t most = uint64_t{1} << 36;
  if (zip_stat_index(archive, index, 0, &stat) != 0 || !(stat.valid & ZIP_STAT_SIZE) || stat.size > most)
    throw InputError(fmt::format("{}: entry {} has no size that could be believed", file, index));
  Entry entry(zip_fopen_index(archive, index, 0));
  if (!entry) throw InputError(fmt::format("{}: entry {}: {}", file, index, zip_strerror(archive)));
  std::string bytes;
  std::vector<char> block(1 << 20);  // a size that lies allocates no more than is there
  for (zip_int64_t n; (n = zip_fread(entry.get(), block.data(), block.size())) != 0;) {
    if (n < 0 || bytes.size() + static_cast<uint64_t>(n) > stat.size)
      throw InputError(fmt::format("{}: entry {} is damaged", file, index));
    bytes.append(block.data(), static_cast<size_t>(n));
  }
  return bytes;
}

// f(name without ".npy", a function that unpacks its bytes) of every entry.
template <class F>
void for_entries(const std::filesystem::path& file, const F& f) {
  std::string name = file.string(), bytes = read_whole_file(file);
  if (bytes.empty()) throw InputError(fmt::format("{}: no .npz file: it is empty", name));  // an archive to libzip
  ZipError error;
  zip_source_t* memory = zip_source_buffer_create(bytes.data(), bytes.size(), 0, error.get());
  if (!memory) throw IoError(fmt::format("{}: {}", name, error.text()));
  Archive archive(zip_open_from_source(memory, ZIP_RDONLY, error.get()));
  if (!archive) {
    zip_source_free(memory);
    throw InputError(fmt::format("{}: no .npz file: {}", name, error.text()));
  }
  zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    auto index = static_cast<uint64_t>(i);
    const char* raw = zip_get_name(archive.get(), index, 0);
    std::string entry = raw ? raw : "";
    if (!entry.ends_with(".npy"))
      throw InputError(fmt::format("{}: entry '{}' is no .npy file", name, printable(entry)));
    f(entry.substr(0, entry.size() - 4), [&] { return read_entry(archive.get(), index, name); });
  }
}

}  // namespace

void write_npz(const std::filesystem::path& file, const Arrays& arrays) {
  ZipError error;
  // in memory, so that the file itself is written in one piece
  zip_source_t* memory = zip_source_buffer_create(nullptr, 0, 0, error.get());
  if (!memory) throw IoError(fmt::format("{}: {}", file.string(), error.text()));
  zip_source_keep(memory);
  Source kept(memory);
  Archive archive(zip_open_from_source(memory, ZIP_TRUNCATE, error.get()));
  if (!archive) throw IoError(fmt::format("{}: {}", file.string(), error.text()));
  std::vector<std::string> contents;
  contents.reserve(arrays.size());
  for (const auto& [name, x] : arrays) {
    std::string& bytes = contents.emplace_back(npy_header(x));
    bytes.append(static_cast<const char*>(x.raw()), static_cast<size_t>(x.bytes()));
    Source entry(zip_source_buffer(archive.get(), bytes.data(), bytes.size(), 0));
    zip_int64_t index =
        entry ? zip_file_add(archive.get(), (name + ".npy").c_str(), entry.get(), ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0) throw IoError(fmt::format("{}: '{}': {}", file.string(), name, zip_strerror(archive.get())));
    entry.release();
    // of no time, so that the same arrays are the same bytes whenever they are written
    zip_file_set_dostime(archive.get(), static_cast<zip_uint64_t>(index), 0, first_dos_date, 0);
  }
  if (zip_close(archive.get()) != 0)
    throw IoError(fmt::format("{}: {}", file.string(), zip_strerror(archive.get())));
  archive.release();

  zip_stat_t stat;
  zip_source_stat(memory, &stat);
  std::string bytes(stat.size, '\0');
  bool read = zip_source_open(memory) == 0 &&
              zip_source_read(memory, bytes.data(), bytes.size()) == static_cast<zip_int64_t>(bytes.size());
  zip_source_close(memory);
  if (!read) throw IoError(fmt::format("{}: the archive cannot be put together", file.string()));
  std::string_view pieces[] = {bytes};
  write_file_atomically(file, pieces);
}

void for_npz_entries(const std::filesystem::path& file,
                     const std::function<void(const std::string& name, const std::string& bytes)>& f) {
  for_entries(file, [&](const std::string& name, const auto& bytes) { f(name, bytes()); });
}

std::vector<std::string> npz_names(const std::filesystem::path& file) {
  std::vector<std::string> names;
  for_entries(file, [&](const std::string& name, const auto&) { names.push_back(name); });
  return names;
}

Arrays read_npz(const std::filesystem::path& file, const std::vector<std::string>& names) {
  Arrays arrays;
  for_entries(file, [&](const std::string& name, const auto& bytes) {
    bool asked = names.empty() || std::find(names.begin(), names.end(), name) != names.end();
    if (asked) arrays[name] = parse_npy(bytes(), file.string() + ":" + name);
  });
  return arrays;
}

}  // namespace vapo::data
