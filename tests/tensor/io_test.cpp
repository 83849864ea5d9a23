// Files: what is written reads back, what others wrote is understood, and what is damaged is refused in one line.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>
#include <limits>
#include <thread>

#include "tensor/io/atomic_file.h"
#include "tensor/io/npy.h"
#include "tensor/io/safetensors.h"

using namespace vapo;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path;
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "vapo-io-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()));
    path = pattern;
  }
  ~Folder() { fs::remove_all(path); }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(path), fs::directory_iterator()));
  }
};

void put(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}
std::string get(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class E, class F>
std::string message(const F& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing was thrown";
}
bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::string safetensors_bytes(const std::string& header, std::string_view data = {}) {
  uint64_t n = header.size();
  return std::string(reinterpret_cast<const char*>(&n), 8) + header + std::string(data);
}
std::string npy_bytes(const std::string& header, std::string_view data = {}, int version = 1) {
  std::string out = "\x93NUMPY";
  out += {static_cast<char>(version), '\0'};
  uint32_t n = static_cast<uint32_t>(header.size());
  out.append(reinterpret_cast<const char*>(&n), version == 1 ? 2 : 4);
  return out + header + std::string(data);
}
std::string dict(const std::string& descr, const std::string& shape, const char* fortran = "False") {
  return fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}\n", descr, fortran, shape);
}
std::string_view operator""_b(const char* s, size_t n) { return {s, n}; }

template <class T>
void check_values(const Tensor& x, const Shape& shape, const std::vector<T>& values) {
  CHECK(x.shape() == shape);
  REQUIRE(x.dtype() == dtype_of<T>);
  CHECK(x.to_vector<T>() == values);
}

}  // namespace

TEST_CASE("safetensors: every dtype, rank 0 to 8, empty tensors and metadata come back as they were") {
  Folder folder;
  TensorFile f;
  f.metadata = {{"step", "12"}, {"текст", "línea\n\"quoted\""}, {"", ""}};
  f.tensors["scalar"] = Tensor::scalar(-0.5);
  f.tensors["matrix"] = Tensor::from(std::vector<double>{1, 2, 3, 4, 5, 1e300}, {2, 3});
  f.tensors["bytes"] = Tensor::from(std::vector<uint8_t>{0, 7, 255}, {3});
  f.tensors["index"] =
      Tensor::from(std::vector<int64_t>{-1, std::numeric_limits<int64_t>::max()}, {1, 1, 1, 1, 1, 1, 1, 2});
  f.tensors["empty"] = Tensor::zeros({3, 0, 2});
  write_safetensors(folder.path / "x.safetensors", f);
  CHECK(folder.files() == 1);
  TensorFile g = read_safetensors(folder.path / "x.safetensors");
  CHECK(g.metadata == f.metadata);
  REQUIRE(g.tensors.size() == f.tensors.size());
  check_values<float>(g.tensors["scalar"], {}, {-0.5f});
  check_values<double>(g.tensors["matrix"], {2, 3}, {1, 2, 3, 4, 5, 1e300});
  check_values<uint8_t>(g.tensors["bytes"], {3}, {0, 7, 255});
  check_values<int64_t>(g.tensors["index"], {1, 1, 1, 1, 1, 1, 1, 2}, {-1, std::numeric_limits<int64_t>::max()});
  check_values<float>(g.tensors["empty"], {3, 0, 2}, {});
  write_safetensors(folder.path / "y.safetensors", g);
  CHECK(get(folder.path / "x.safetensors") == get(folder.path / "y.safetensors"));
  CHECK(parse_safetensors(safetensors_bytes("{}   "), "f").tensors.empty());
}

TEST_CASE("safetensors: the header alone tells names, shapes and metadata, and is held to the file's size") {
  Folder folder;
  fs::path path = folder.path / "x.safetensors";
  write_safetensors(path, {{{"a", Tensor::zeros({2, 3})}, {"none", Tensor::zeros({0})}}, {{"step", "12"}}});
  TensorFileHeader header = read_safetensors_header(path);
  CHECK(header.tensors.size() == 2);
  CHECK(header.tensors.at("a").shape == Shape{2, 3});
  CHECK(header.tensors.at("a").bytes == 24);
  CHECK(header.tensors.at("none").shape == Shape{0});
  CHECK(header.metadata == std::map<std::string, std::string>{{"step", "12"}});
  fs::resize_file(path, fs::file_size(path) - 1);
  CHECK(has(message<InputError>([&] { read_safetensors_header(path); }), "'a' ends at byte 24 of 23"));
  fs::resize_file(path, 5);
  CHECK(has(message<InputError>([&] { read_safetensors_header(path); }), "5 bytes"));
  CHECK(has(message<IoError>([&] { read_safetensors_header(folder.path / "missing"); }), "No such file"));
  CHECK(has(message<IoError>([&] { read_safetensors_header(folder.path); }), folder.path.string()));
}

TEST_CASE("safetensors: the layout is the format's, and its other dtypes are widened") {
  auto one = [](const char* dtype, int size, std::string_view data) {
    std::string header = fmt::format(R"({{"a":{{"dtype":"{}","shape":[{}],"data_offsets":[0,{}]}}}})", dtype,
                                     data.size() / static_cast<size_t>(size), data.size());
    return parse_safetensors(safetensors_bytes(header, data), "f").tensors.at("a");
  };
  check_values<float>(one("F32", 4, "\0\0\x80\x3f"_b), {1}, {1});
  check_values<float>(one("F16", 2, "\0\x3c\xff\x7b\1\0\0\xfc"_b), {4}, {1, 65504, 0x1p-24f, -INFINITY});
  check_values<float>(one("BF16", 2, "\x80\x3f\x80\xff"_b), {2}, {1, -INFINITY});
  check_values<int64_t>(one("I32", 4, "\xfe\xff\xff\xff"_b), {1}, {-2});
  check_values<int64_t>(one("I16", 2, "\xfe\xff"_b), {1}, {-2});
  check_values<int64_t>(one("I8", 1, "\xfe"_b), {1}, {-2});
  check_values<int64_t>(one("U16", 2, "\xfe\xff"_b), {1}, {65534});
  check_values<int64_t>(one("U32", 4, "\xfe\xff\xff\xff"_b), {1}, {4294967294});
  check_values<int64_t>(one("BOOL", 1, "\0\1"_b), {2}, {0, 1});
}

TEST_CASE("safetensors: a header names all dtypes of the format, with their bytes; some have no numbers here") {
  auto four = [](const std::string& dtype, size_t bytes) {
    std::string header = R"({{"a":{{"dtype":"{}","shape":[4],"data_offsets":[0,{}]}}}})";
    return safetensors_bytes(fmt::format(fmt::runtime(header), dtype, bytes), std::string(bytes, '\0'));
  };
  for (auto [dtype, bits] : std::map<std::string, size_t>{
           {"F64", 64},    {"F32", 32},    {"F16", 16},    {"BF16", 16},   {"I64", 64},    {"I32", 32}, {"I16", 16},
           {"I8", 8},      {"U8", 8},      {"U16", 16},    {"U32", 32},    {"BOOL", 8},    {"U64", 64}, {"C64", 64},
           {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4}}) {
    TensorEntry entry = parse_safetensors_header(four(dtype, bits / 2), "f").tensors.at("a");
    CHECK_MESSAGE((entry.dtype == dtype && entry.bytes == bits / 2), dtype);
    bool known = dtype != "U64" && dtype != "C64" && dtype != "F4" && dtype.find('_') == dtype.npos;
    TensorFile file = parse_safetensors(four(dtype, bits / 2), "f", Unreadable::leave_out);
    CHECK_MESSAGE((entry.readable == known && file.tensors.contains("a") == known), dtype);
  }
  auto refusal = [&](auto... x) { return message<InputError>([&] { parse_safetensors_header(four(x...), "f"); }); };
  CHECK(has(refusal("F8_E4M3", 8), "needs 4 bytes"));
  CHECK(has(refusal("F128", 64), "'F128', which is not known"));
}

TEST_CASE("safetensors: a damaged or hostile file is refused, naming the file, the tensor and the fault") {
  auto refusal = [](std::string_view bytes) {
    std::string m = message<InputError>([&] { parse_safetensors(bytes, "some.file"); });
    CHECK_MESSAGE(has(m, "'some.file'"), m);
    CHECK_MESSAGE(m.find('\n') == std::string::npos, m);
    return m;
  };
  auto entry = [](const char* shape, const char* offsets, const char* dtype = "\"F32\"") {
    return safetensors_bytes(
        fmt::format(R"({{"w":{{"dtype":{},"shape":{},"data_offsets":{}}}}})", dtype, shape, offsets), "12345678");
  };
  CHECK_NOTHROW(parse_safetensors(entry("[2]", "[0,8]"), "f"));
  CHECK(has(refusal(""), "0 bytes"));
  CHECK(has(refusal("1234567"), "7 bytes"));
  CHECK(has(refusal("\x10\0\0\0\0\0\0\0{}"_b), "truncated"));
  CHECK(has(refusal("\xff\xff\xff\xff\xff\xff\xff\xff{}"_b), "at most 104857600"));
  CHECK(has(refusal("\1\0\x40\6\0\0\0\0{}"_b), "at most 104857600"));
  for (const char* text : {"", "{", "{]", "{\"a\":\"\xff\"}", "{}{}", "nul"})
    CHECK_MESSAGE(has(refusal(safetensors_bytes(text)), "not JSON"), text);
  for (const char* text : {"[]", "1", "null", "\"x\""})
    CHECK(has(refusal(safetensors_bytes(text)), "not a JSON object"));
  CHECK(has(refusal(safetensors_bytes(std::string(1'000'000, '['))), "nested too deeply"));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{\"a\":";
  CHECK(has(refusal(safetensors_bytes(deep)), "nested too deeply"));

  std::string w = R"("w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  CHECK(has(refusal(safetensors_bytes("{" + w + "," + w + "}", "1234")), "'w' appears twice"));
  CHECK(has(
      refusal(safetensors_bytes(R"({"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234")),
      "'dtype' appears twice"));
  CHECK(has(refusal(safetensors_bytes(R"({"__metadata__":{"k":"1","k":"2"}})")), "'k' appears twice"));
  CHECK(has(refusal(safetensors_bytes(R"({"__metadata__":{"k":1}})")), "metadata 'k' is not a string"));
  CHECK(has(refusal(safetensors_bytes(R"({"__metadata__":[]})")), "__metadata__ is not an object"));
  CHECK(has(refusal(safetensors_bytes(R"({"two\nlines":[]})")), "'two\\x0alines' lacks"));
  CHECK(has(refusal(safetensors_bytes(R"({"w":{"dtype":"F32","shape":[]}})")), "'w' lacks"));

  CHECK(has(refusal(entry("[8]", "[0,8]", "\"F8_E4M3\"")), "'F8_E4M3', which is not supported"));
  CHECK(has(refusal(entry("[2]", "[0,8]", "4")), "dtype is not a string"));
  CHECK(has(refusal(entry("[1,1,1,1,1,1,1,1,2]", "[0,8]")), "at most 8 sizes"));
  CHECK(has(refusal(entry("2", "[0,8]")), "shape must be a list"));
  for (const char* shape : {"[-2]", "[2.0]", "[\"2\"]", "[null]", "[18446744073709551615]", "[1e400]"})
    CHECK_MESSAGE(has(refusal(entry(shape, "[0,8]")), "'some.file'"), shape);
  CHECK(has(refusal(entry("[-2]", "[0,8]")), "tensor 'w': bad size"));
  CHECK(has(refusal(entry("[4294967296,4294967296]", "[0,8]")), "too large"));  // 2^64 elements
  CHECK(has(refusal(entry("[4294967296,4294967296,0]", "[0,8]")), "too large"));
  CHECK(has(refusal(entry("[281474976710656,16384]", "[0,8]")), "too large"));  // 2^62 elements, 2^64 bytes
  CHECK(has(refusal(entry("[3]", "[0,8]")), "needs 12 bytes, its offsets give 8"));
  CHECK(has(refusal(entry("[3]", "[0,12]")), "ends at byte 12 of 8"));
  CHECK(has(refusal(entry("[2]", "[8,0]")), "'w'"));
  for (const char* offsets : {"[0]", "[0,8,8]", "[-8,0]", "[0,8.0]", "{}", "[0,\"8\"]", "[0,99999999999999999999]"})
    CHECK_MESSAGE(has(refusal(entry("[2]", offsets)), "data_offsets must be two numbers"), offsets);

  auto two = [](int b0, int b1, std::string_view data) {
    return safetensors_bytes(fmt::format(R"({{"u":{{"dtype":"F32","shape":[1],"data_offsets":[{},{}]}},)"
                                         R"("v":{{"dtype":"F32","shape":[1],"data_offsets":[{},{}]}}}})",
                                         b0, b0 + 4, b1, b1 + 4),
                             data);
  };
  CHECK_NOTHROW(parse_safetensors(two(4, 0, "12345678"), "f"));
  CHECK(has(refusal(two(0, 2, "12345678")), "'v' begins at byte 2, expected 4: tensors overlap"));
  CHECK(has(refusal(two(0, 0, "1234")), "overlap"));
  CHECK(has(refusal(two(0, 6, "1234567890")), "'v' begins at byte 6, expected 4"));
  CHECK(has(refusal(two(0, 4, "123456789")), "1 bytes after the last tensor"));
}

TEST_CASE("npy: what is written reads back, and its bytes are those NumPy writes") {
  Folder folder;
  fs::path path = folder.path / "x.npy";
  for (const Shape& shape : {Shape{}, Shape{6}, Shape{2, 3}, Shape{1, 2, 1, 3}, Shape{0, 4}}) {
    int64_t n = shape.numel();
    for (DType t : {DType::f32, DType::f64, DType::i64, DType::u8}) {
      Tensor x = Tensor::arange(n).to(t).reshape(shape);
      write_npy(path, x);
      Tensor y = read_npy(path);
      CHECK(y.shape() == shape);
      CHECK(y.dtype() == t);
      for (int64_t i = 0; i < n; ++i) CHECK(y.at(i) == static_cast<double>(i));
    }
  }
  write_npy(path, Tensor::from(std::vector<float>{1, 2}, {2}));
  std::string expected =
      npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }" + std::string(60, ' ') + "\n",
                "\0\0\x80\x3f\0\0\0\x40"_b);
  CHECK(get(path) == expected);
}

TEST_CASE("npy: either byte order, either memory order, every version and every number type") {
  auto parse = [](const std::string& h, std::string_view data, int v = 1) {
    return parse_npy(npy_bytes(h, data, v), "f");
  };
  check_values<float>(parse(dict(">f4", "(1,)"), "\x3f\x80\0\0"_b), {1}, {1});
  check_values<double>(parse(dict(">f8", "()"), "\x40\0\0\0\0\0\0\0"_b), {}, {2});
  check_values<float>(parse(dict("<f2", "(2,)"), "\0\x3c\0\xc0"_b), {2}, {1, -2});
  check_values<float>(parse(dict(">f2", "(1,)"), "\x3c\0"_b), {1}, {1});
  check_values<int64_t>(parse(dict(">i4", "(1,)"), "\xff\xff\xff\xfe"_b), {1}, {-2});
  check_values<int64_t>(parse(dict("<i2", "(1,)"), "\xfe\xff"_b), {1}, {-2});
  check_values<int64_t>(parse(dict("|i1", "(1,)"), "\xfe"_b), {1}, {-2});
  check_values<uint8_t>(parse(dict("|u1", "(1,)"), "\xfe"_b), {1}, {254});
  check_values<int64_t>(parse(dict(">u2", "(1,)"), "\xff\xfe"_b), {1}, {65534});
  check_values<int64_t>(parse(dict("<u4", "(1,)"), "\xfe\xff\xff\xff"_b), {1}, {4294967294});
  check_values<int64_t>(parse(dict("<u8", "(1,)"), "\1\0\0\0\0\0\0\x70"_b), {1}, {0x7000000000000001});
  check_values<int64_t>(parse(dict("|b1", "(2,)"), "\0\1"_b), {2}, {0, 1});
  check_values<uint8_t>(parse(dict("|u1", "(2, 3)", "True"), "\1\2\3\4\5\6"_b), {2, 3}, {1, 3, 5, 2, 4, 6});
  check_values<uint8_t>(parse(dict("|u1", "(1, 2, 2)", "True"), "\1\2\3\4"_b), {1, 2, 2}, {1, 3, 2, 4});
  for (int version : {1, 2, 3}) check_values<uint8_t>(parse(dict("|u1", "(2,)"), "\1\2", version), {2}, {1, 2});
  check_values<uint8_t>(parse("{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"|u1\"}", "\1\2"), {2}, {1, 2});
  auto called = [](const char* code) { return parse_npy_header(npy_bytes(dict(code, "(1,)"), "12345678"), "f"); };
  CHECK((called(">f2").dtype == "f16" && called("<i4").dtype == "i32" && called("|b1").dtype == "bool"));
  CHECK((called("<f8").readable && called("<f8").bytes == 8 && called("<f8").shape == Shape{1}));
  CHECK((called("<U5").dtype == "<U5" && !called("<U5").readable));
}

TEST_CASE("npy: a damaged or hostile file is refused, naming the file and the fault") {
  auto refusal = [](std::string_view bytes) {
    std::string m = message<InputError>([&] { parse_npy(bytes, "some.npy"); });
    CHECK_MESSAGE(has(m, "'some.npy'"), m);
    CHECK_MESSAGE(m.find('\n') == std::string::npos, m);
    return m;
  };
  auto of = [&](const std::string& header, std::string_view data = {}) { return refusal(npy_bytes(header, data)); };
  CHECK(has(refusal(""), "does not begin"));
  CHECK(has(refusal("\x93NUMPY\1\0"_b), "does not begin"));
  CHECK(has(refusal("\x93NUMPX\1\0\0\0"_b), "does not begin"));
  CHECK(has(refusal("\x93NUMPY\7\0\0\0\0\0"_b), "version 7"));
  CHECK(has(refusal("\x93NUMPY\2\0\0\0"_b), "truncated"));
  CHECK(has(refusal("\x93NUMPY\2\0\xff\xff\xff\xff{}"_b), "truncated"));
  CHECK(has(of(dict("|O", "(1,)"), "12345678"), "Python objects"));
  for (const char* d : {"<U5", "|S3", "<c8", "<f16", "<M8[ns]", "", "f", "<<f4"})
    CHECK_MESSAGE(has(of(dict(d, "(1,)")), "is not supported"), d);
  CHECK(has(of("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,)}", "1234"), "structured dtype"));
  CHECK(has(of(dict("<f4", "(2,)"), "1234567"), "needs 8 bytes, the file has 7"));
  CHECK(has(of(dict("<f4", "(2,)"), "123456789"), "needs 8 bytes, the file has 9"));
  CHECK(has(of(dict("<f4", "(0, 3)"), "1"), "needs 0 bytes"));
  CHECK(has(of(dict("<f4", "(4294967296, 4294967296)")), "too large"));
  CHECK(has(of(dict("<f4", "(4294967296, 4294967296, 0)")), "too large"));
  CHECK(has(of(dict("<f4", "(99999999999999999999,)")), "bad size"));
  CHECK(has(of(dict("<f4", "(-1,)")), "bad size"));
  CHECK(has(of(dict("<f4", "(1.5,)")), "malformed"));
  CHECK(has(of(dict("<f4", "(1, 1, 1, 1, 1, 1, 1, 1, 1)"), "1234"), "more than 8 dimensions"));
  CHECK(has(of(dict("<f4", "(1,)", "maybe"), "1234"), "fortran_order is no bool"));
  CHECK(has(of(dict("<f4", "(1,)") + "x", "1234"), "goes on"));
  CHECK(has(of("{'descr': '<f4', 'fortran_order': False}"), "lacks"));
  CHECK(has(of("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}"), "unexpected key 'descr'"));
  CHECK(has(of("{'a\nb': 1}"), "unexpected key 'a\\x0ab'"));
  CHECK(has(of("{'descr: '<f4'"), "malformed"));
  CHECK(has(of("__import__('os')"), "malformed"));
  CHECK(has(of(""), "malformed"));
  CHECK(has(of(dict("<u8", "(1,)"), "\0\0\0\0\0\0\0\x80"_b), "element 0"));
}

TEST_CASE("a file that cannot be read is an IoError with the path and the system's reason") {
  Folder folder;
  std::string missing = (folder.path / "missing").string();
  std::string m = message<IoError>([&] { read_safetensors(missing); });
  CHECK_MESSAGE((has(m, missing) && has(m, "No such file")), m);
  m = message<IoError>([&] { read_npy(folder.path); });
  CHECK_MESSAGE((has(m, folder.path.string()) && has(m, "Is a directory")), m);
  fs::path sparse = folder.path / "sparse";  // larger than any memory
  put(sparse, "x");
  fs::resize_file(sparse, uintmax_t{1} << 43);
#ifndef VAPO_SANITIZED  // which reserves more addresses than any limit allows
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_AS, &old) == 0);
  rlimit low = old;
  low.rlim_cur = std::min(rlim_t{1} << 40, old.rlim_max);
  REQUIRE(setrlimit(RLIMIT_AS, &low) == 0);
  m = message<IoError>([&] { read_npy(sparse); });
  CHECK(setrlimit(RLIMIT_AS, &old) == 0);
  CHECK_MESSAGE((has(m, sparse.string()) && has(m, "memory")), m);
#endif
}

TEST_CASE("reading goes on after signals and short reads") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  struct sigaction act {
  }, old{};
  act.sa_handler = [](int) {};  // without SA_RESTART: a blocked read returns EINTR
  REQUIRE(sigaction(SIGALRM, &act, &old) == 0);
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  std::string sent(300'000, 'a');
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i % 251);
  pthread_sigmask(SIG_BLOCK, &alarm, nullptr);
  std::thread writer([&] {
    for (size_t at = 0; at < sent.size(); at += 30'000) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (::write(ends[1], sent.data() + at, 30'000) < 0) break;
    }
    ::close(ends[1]);
  });
  pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
  itimerval every{{0, 1000}, {0, 1000}}, off{};
  setitimer(ITIMER_REAL, &every, nullptr);
  std::string received = read_whole_file(fmt::format("/dev/fd/{}", ends[0]));
  setitimer(ITIMER_REAL, &off, nullptr);
  writer.join();
  sigaction(SIGALRM, &old, nullptr);
  ::close(ends[0]);
  CHECK(received == sent);
}

TEST_CASE("a write that fails leaves the old file and nothing else") {
  Folder folder;
  fs::path path = folder.path / "x.safetensors";
  write_file_atomically(path, std::array<std::string_view, 2>{"ol", "d"});
  CHECK(get(path) == "old");
  struct rlimit old {};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit low{.rlim_cur = 100'000, .rlim_max = old.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &low) == 0);
  TensorFile big{.tensors = {{"w", Tensor::zeros({100'000})}}, .metadata = {}};
  std::string m = message<IoError>([&] { write_safetensors(path, big); });
  std::string n = message<IoError>([&] { write_npy(folder.path / "new.npy", big.tensors["w"]); });
  CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK_MESSAGE((has(m, path.string()) && has(m, "File too large")), m);
  CHECK_MESSAGE(has(n, "new.npy"), n);
  CHECK(get(path) == "old");
  CHECK(folder.files() == 1);

  m = message<IoError>([&] { write_npy(folder.path / "no" / "x.npy", Tensor::zeros({1})); });
  CHECK_MESSAGE((has(m, "x.npy") && has(m, "No such file")), m);
  fs::create_directory(folder.path / "taken");
  CHECK_THROWS_AS(write_npy(folder.path / "taken", Tensor::zeros({1})), IoError);
  CHECK_THROWS_AS(write_npy(folder.path / "", Tensor::zeros({1})), IoError);
  CHECK_THROWS_AS(write_safetensors(path, {.tensors = {{"w", Tensor()}}, .metadata = {}}), Error);
  CHECK_THROWS_AS(write_safetensors(path, {.tensors = {{"\xff", Tensor::zeros({1})}}, .metadata = {}}), Error);
  CHECK_THROWS_AS(write_safetensors(path, {.tensors = {{"__metadata__", Tensor::zeros({1})}}, .metadata = {}}),
                  Error);
  CHECK(get(path) == "old");
  CHECK(folder.files() == 2);
}
