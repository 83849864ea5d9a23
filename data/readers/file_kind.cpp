#include "data/readers/file_kind.h"

#include <algorithm>

namespace vapo::data {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view as_table = "save its numbers as .csv or .npy";
constexpr std::string_view unpack = "unpack it, and give the table that is in it";
constexpr std::string_view picture = "tables have numbers; for pictures: data.set = \"image_folder\"";

struct Magic {
  size_t at;
  std::string_view bytes;
  FileKind kind;
};
// Of files that hold bytes no text has: a table may well begin with a column that is called ORC.
constexpr Magic binary_magics[] = {
    {0, "BZh", {"packed by bzip2", "bunzip2 FILE"}},
    {0,
     "\xFD"
     "7zXZ\0"sv,
     {"packed by xz", "unxz FILE"}},
    {0, "\x28\xB5\x2F\xFD", {"packed by zstd", "unzstd FILE"}},
    {0, "7z\xBC\xAF\x27\x1C", {"a 7-Zip archive", unpack}},
    {0, "Rar!\x1A\x07", {"a RAR archive", unpack}},
    {257, "ustar", {"a tar archive", unpack}},
    {0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", {"an old Excel workbook (.xls)", "save the sheet as CSV"}},
    {0, "PAR1", {"Parquet", "pandas.read_parquet(FILE).to_csv(NEW, index=False)"}},
    {0, "ARROW1", {"Arrow (Feather)", "pandas.read_feather(FILE).to_csv(NEW, index=False)"}},
    {0, "FEA1", {"Feather", "pandas.read_feather(FILE).to_csv(NEW, index=False)"}},
    {0, "ORC", {"ORC", "pandas.read_orc(FILE).to_csv(NEW, index=False)"}},
    {0, "SQLite format 3\0"sv, {"an SQLite database", "sqlite3 -header -csv FILE 'select * from TABLE' > NEW.csv"}},
    {0, "\x89HDF\r\n\x1A\n", {"HDF5", as_table}},
    {0, "CDF\x01", {"NetCDF", as_table}},
    {0, "CDF\x02", {"NetCDF", as_table}},
    {0, "MATLAB ", {"a MATLAB file (.mat)", as_table}},
    {0, "RDX", {"an R workspace (.RData)", "write.csv(DATA, \"NEW.csv\", row.names = FALSE) in R"}},
    {0, "X\n\0\0\0"sv, {"an R object (.rds)", "write.csv(DATA, \"NEW.csv\", row.names = FALSE) in R"}},
    {0, "$FL2", {"an SPSS file (.sav)", "save it as CSV"}},
    {0, "\x80\x02", {"a Python pickle", as_table}},
    {0, "\x80\x03", {"a Python pickle", as_table}},
    {0, "\x80\x04", {"a Python pickle", as_table}},
    {0, "\x80\x05", {"a Python pickle", as_table}},
    {0, "\x89PNG", {"a picture (PNG)", picture}},
    {0, "\xFF\xD8\xFF", {"a picture (JPEG)", picture}},
    {0, "GIF8", {"a picture (GIF)", picture}},
    {0, "II*\0"sv, {"a picture (TIFF)", picture}},
    {0, "MM\0*"sv, {"a picture (TIFF)", picture}},
    {8, "WEBP", {"a picture (WebP)", picture}},
    {0,
     "\x7F"
     "ELF",
     {"a program", as_table}},
    {0, "\xFF\xFE\0\0"sv, {"UTF-32 text", "iconv -f UTF-32 -t UTF-8 FILE > NEW.csv"}},
    {0, "\xFF\xFE", {"UTF-16 text", "iconv -f UTF-16 -t UTF-8 FILE > NEW.csv"}},
    {0, "\xFE\xFF", {"UTF-16 text", "iconv -f UTF-16 -t UTF-8 FILE > NEW.csv"}},
};

constexpr Magic text_magics[] = {
    {0, "version https://git-lfs.github.com/spec", {"a Git LFS pointer, not the file itself", "git lfs pull"}},
    {0, "<stata_dta>", {"a Stata file (.dta)", "export delimited NEW.csv in Stata"}},
    {0, "SIMPLE  =", {"FITS", as_table}},
    {0, "%PDF", {"a PDF document", as_table}},
    {0, "{\\rtf", {"an RTF document", "save it as plain text"}},
    {0, "<?xml", {"XML", as_table}},
    {0, "<", {"HTML: a page, perhaps of an error, in the file's place", "fetch the file itself"}},
    {0, "{", {"JSON", as_table}},
    {0, "[", {"JSON", as_table}},
};

// What a zip archive is by the names in it.
constexpr Magic in_zip[] = {
    {0, "xl/", {"an Excel workbook (.xlsx)", "save the sheet as CSV"}},
    {0, "opendocument.spreadsheet", {"an OpenDocument sheet (.ods)", "save the sheet as CSV"}},
    {0, "word/", {"a Word document (.docx)", "save it as plain text"}},
    {0, "data.pkl", {"a PyTorch file (.pth)", "numpy.save(\"NEW.npy\", TENSOR.numpy())"}},
    {0, ".npy", {"a NumPy archive (.npz)", "numpy.save(\"NEW.npy\", ARCHIVE[NAME])"}},
};

template <size_t n>
std::optional<FileKind> find(const Magic (&magics)[n], std::string_view bytes) {
  for (const Magic& m : magics)
    if (bytes.size() > m.at && bytes.substr(m.at).starts_with(m.bytes)) return m.kind;
  return {};
}

bool no_text_has(char c) { return (c >= 0 && c < 7) || (c >= 14 && c < 27); }

std::string_view after_blanks(std::string_view bytes) {
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  return bytes.substr(std::min(bytes.find_first_not_of(" \t\r\n"), bytes.size()));
}

// Half of the bytes of Latin text in UTF-16 are zero: all at even places, or all at odd ones.
std::optional<FileKind> with_zeros(std::string_view head) {
  int64_t zeros[2] = {0, 0};
  for (size_t i = 0; i < head.size(); ++i) zeros[i % 2] += head[i] == 0;
  if (zeros[0] + zeros[1] == 0) return {};
  auto half = static_cast<int64_t>(head.size()) / 2;
  if (zeros[0] == 0 && zeros[1] >= half - 1)
    return FileKind{"UTF-16 text", "iconv -f UTF-16LE -t UTF-8 FILE > NEW.csv"};
  if (zeros[1] == 0 && zeros[0] >= half - 1)
    return FileKind{"UTF-16 text", "iconv -f UTF-16BE -t UTF-8 FILE > NEW.csv"};
  return FileKind{"binary: it holds bytes that are zero, which no text has", as_table};
}

}  // namespace

std::optional<FileKind> kind_of(std::string_view bytes) {
  if (bytes.starts_with("\x93NUMPY")) return {};
  if (bytes.starts_with("PK\x03\x04") || bytes.starts_with("PK\x05\x06")) {
    for (const Magic& m : in_zip)
      if (bytes.find(m.bytes) != std::string_view::npos) return m.kind;
    return FileKind{"a zip archive", unpack};
  }
  if (bytes.size() > 8 && bytes[7] == 0 && bytes.substr(8).starts_with("{\""))
    return FileKind{"a safetensors file, as checkpoints are", "vapo info FILE shows what it holds"};
  std::string_view head = bytes.substr(0, 1024);
  if (std::any_of(head.begin(), head.end(), no_text_has))
    if (auto kind = find(binary_magics, bytes)) return kind;
  if (auto kind = with_zeros(head.substr(0, 64))) return kind;
  return find(text_magics, after_blanks(head));
}

}  // namespace vapo::data
