// Tables from text: separators, headers, quotes, missing values, what is refused; and their split.

#include <doctest/doctest.h>
#include <stdlib.h>

#include <cmath>
#include <fstream>
#include <set>

#include "data/readers/table.h"
#include "data/sets/points.h"
#include "tensor/io/npy.h"

using namespace vapo;
using namespace vapo::data;

namespace {

std::string refusal(std::string_view text, const TableOptions& options = {}) {
  try {
    parse_csv(text, "some.csv", options);
  } catch (const InputError& e) {
    std::string m = e.what();
    CHECK_MESSAGE((m.find("some.csv") != std::string::npos && m.find('\n') == std::string::npos), m);
    return m;
  }
  return "nothing was thrown";
}
#define CHECK_REFUSED(text, part) CHECK_MESSAGE(refusal(text).find(part) != std::string::npos, refusal(text))
#define CHECK_REFUSED_OF(text, part, ...) \
  CHECK_MESSAGE(refusal(text, __VA_ARGS__).find(part) != std::string::npos, refusal(text, __VA_ARGS__))

// The notes, a line each.
std::string notes_of(std::string_view text, const TableOptions& options = {}) {
  std::string out;
  for (const std::string& line : parse_csv(text, "f", options).notes) out += line + "\n";
  return out;
}
#define CHECK_NOTED(text, part) CHECK_MESSAGE(notes_of(text).find(part) != std::string::npos, notes_of(text))

const TableOptions numeric{.columns = {"numeric"}}, dropping{.missing = Missing::drop};

void check_table(std::string_view text, const Shape& shape, const std::vector<double>& values,
                 const std::vector<std::string>& columns = {}, const TableOptions& options = {}) {
  Table t = parse_csv(text, "f", options);
  CHECK(t.values.shape() == shape);
  CHECK(t.values.to_vector<double>() == values);
  CHECK(t.columns == columns);
}

}  // namespace

TEST_CASE("text: separators, header, line ends, byte-order mark, comments, blank lines") {
  const std::vector<double> v{1, 2.5, -3e-2, 4};
  for (const char* text :
       {"1,2.5\n-3e-2,4\n", "1;2.5\n-3e-2;4", "1\t2.5\r\n-3e-2\t+4\r\n", "1 2.5\n-3e-2   4\n", "1|2.5\n-.03|4",
        "\xEF\xBB\xBF"
        "1,2.5\n-.03,4\n",
        "# made by hand\n\n1 , 2.5\n\n -3e-2 ,4\n\n", "sep=;\r\n1;2.5\r\n-0.03;4", "1,2.5\r-0.03,4\r",
        " 1   2.5 \n -0.03\t4.0e0"}) {
    CAPTURE(text);
    check_table(text, {2, 2}, v);
  }
  check_table("duration,waiting\n1,2.5\n-0.03,4\n", {2, 2}, v, {"duration", "waiting"});
  check_table("\"a b\"; c\r\n1;2.5\r\n-0.03;4\r\n", {2, 2}, v, {"a b", "c"});
  check_table("x y\n1 2.5\n-0.03 4\n", {2, 2}, v, {"x", "y"});
  check_table("'x'\t'y'\n1\t2.5\n-0.03\t4\n", {2, 2}, v, {"x", "y"});
  check_table("1\n2.5\n-0.03\n4", {4, 1}, v);
  // the separator is what gives all lines as many fields, not what stands in the first
  check_table("Height, cm;Weight, kg\n1;2.5\n-0.03;4\n", {2, 2}, v, {"Height, cm", "Weight, kg"});
  check_table("my value\n1\n2\n3\n", {3, 1}, {1, 2, 3}, {"my value"});
  check_table("a b,c\n1,2.5\n-0.03,4\n", {2, 2}, v, {"a b", "c"});
}

TEST_CASE("text: fields in quotes are what is in them") {
  check_table("\"a\",\"b\"\n\"1\",\"2.5\"\n\"-3\",\"4\"\n", {2, 2}, {1, 2.5, -3, 4}, {"a", "b"});
  check_table("\"a,b\";\"c \"\"d\"\"\"\n1;2\n3;4\n", {2, 2}, {1, 2, 3, 4}, {"a,b", "c \"d\""});
  check_table("\"two\nlines\",b\n1,2\n3,4\n", {2, 2}, {1, 2, 3, 4}, {"two\nlines", "b"});
  check_table("\"a\"\t\"b\"\n\"1\"\t\"2\"\n3\t4\n", {2, 2}, {1, 2, 3, 4}, {"a", "b"});
  check_table("\"a\" \"b c\"\n\"1\"   2\n 3 \"4\"\n", {2, 2}, {1, 2, 3, 4}, {"a", "b c"});  // R's write.table
  Table t = parse_csv("name,x\n\"Smith, J.\",1\n\"O\"\"Neil\nJr\",2\n", "f", numeric);
  CHECK(t.values.to_vector<double>() == std::vector<double>{1, 2});
  CHECK_REFUSED("a,b\n1,2\n\"3,4\n5,6\n", "line 3: a quote is opened and never closed");
  CHECK_REFUSED("a,b\n\"x\ny\",2\n3,4,5\n", "line 4: 3 fields");  // lines are counted within quotes
}

TEST_CASE("text: numbers in the first line are names where they count on, and it is told") {
  const char* taken = "line 1 is taken for the names of columns";
  check_table("0,1\n1.5,2.5\n3.5,4.5\n", {2, 2}, {1.5, 2.5, 3.5, 4.5}, {"0", "1"});
  check_table("2019,2020,2021\n1.5,2,3\n4,5,6\n", {2, 3}, {1.5, 2, 3, 4, 5, 6}, {"2019", "2020", "2021"});
  check_table("\"10\",\"20\"\n1,2\n3,4\n", {2, 2}, {1, 2, 3, 4}, {"10", "20"});  // in quotes, and no value is
  check_table("0,1,2,3,4\n5,0,7,1,2\n3,4,1,2,9\n", {2, 5}, {5, 0, 7, 1, 2, 3, 4, 1, 2, 9},
              {"0", "1", "2", "3", "4"});
  check_table("400,410,420,430\n1.5,2.5,3.5,4.5\n.1,.2,.3,.4\n", {2, 4}, {1.5, 2.5, 3.5, 4.5, .1, .2, .3, .4},
              {"400", "410", "420", "430"});
  check_table("2000,x\n1.5,2\n3,4\n", {2, 2}, {1.5, 2, 3, 4}, {"2000", "x"});
  for (const char* text : {"0,1\n1.5,2.5\n3.5,4.5\n", "2019,2020,2021\n1.5,2,3\n4,5,6\n", "2000,x\n1.5,2\n3,4\n"})
    CHECK_NOTED(text, taken);
  CHECK(notes_of("a,b\n1,2\n3,4\n").empty());

  const char* none = "no names of columns were found: ";
  for (const char* text :
       {"0,1\n1,3\n2,7\n", "0\n1.5\n2.5\n", "10,20\n1.5,2.5\n1,2\n", "0,1,2,3,4\n5,6,7,8,9\n1,2,4,5,6\n",
        "1,0\n1.5,2.5\n3.5,4.5\n", "1.5,2\n3,4\n", "2019,2018\n1.5,1.5\n2.5,2.5"}) {
    CAPTURE(text);
    CHECK(parse_csv(text, "f").columns.empty());
    CHECK_NOTED(text, none + std::to_string(parse_csv(text, "f").values.dim(0)) + " rows from line 1 on");
  }
}

TEST_CASE("text: an index and names of rows are named as such") {
  const char* pandas = ",a,b\n0,1.5,2\n1,3,4\n2,5,6\n";
  check_table(pandas, {3, 3}, {0, 1.5, 2, 1, 3, 4, 2, 5, 6}, {"column 1", "a", "b"});
  CHECK_NOTED(pandas,
              "column 1 has no name and counts 0, 1, 2, … down the rows: an index? --set "
              "'data.columns=[\"a\", \"b\"]' leaves it out");
  CHECK(parse_csv(pandas, "f", numeric).columns == std::vector<std::string>{"a", "b"});
  CHECK_NOTED("id,x\n1,5.5\n2,6\n3,7\n", "column 1 (id) counts 1, 2, 3");
  CHECK(notes_of("id,x\n1,5.5\n2,6\n4,7\n").empty());
  CHECK_NOTED(",x\n31,5.5\n7,6\n", "column 1 has no name: an index? --set 'data.columns=[\"x\"]' leaves it out");
  CHECK_NOTED(",0,1\n0,5,6\n1,7,8\n2,9,9\n", "line 1 is taken for the names");
  CHECK_NOTED("Unnamed: 0,x\n0,5\n1,6\n2,9\n", "column 1 has no name and counts");

  const char* r = "\"\",\"a\",\"b\"\n\"1\",1.5,2\n\"2\",3,4\n";
  CHECK_REFUSED(
      r,
      "column 1: it has no name and stands in quotes where numbers do not: names of rows. Columns of "
      "numbers: a, b. Hint: --set data.columns=numeric takes them all, --set 'data.columns=[\"a\", \"b\"]'");
  CHECK(parse_csv(r, "f", numeric).values.to_vector<double>() == std::vector<double>{1.5, 2, 3, 4});
  CHECK_REFUSED("\"\",\"a\"\n\"Mazda RX4\",1\n\"Datsun\",2\n",
                "'Mazda RX4' is not a number; without a name, the column may be names of rows");
  // write.table: one name less than there are fields, with or without numbers of rows
  check_table("\"a\" \"b\"\n\"1\" 1.5 2\n\"2\" 3 4\n\"3\" 5 6\n", {3, 2}, {1.5, 2, 3, 4, 5, 6}, {"a", "b"},
              numeric);
  check_table("a\tb\nFiat\t1\t2\nOpel\t3\t4\n", {2, 2}, {1, 2, 3, 4}, {"a", "b"}, numeric);
}

TEST_CASE("text: separators that end the lines, rows of separators alone, a title above the table") {
  const std::vector<double> v{1, 2, 3, 4};
  for (const char* text :
       {"a,b,\n1,2,\n3,4,\n", "a,b\n1,2,\n3,4,\n", "a,b,\n1,2\n3,4\n", "a,b,,\n1,2,,\n3,4,,\n"}) {
    CAPTURE(text);
    check_table(text, {2, 2}, v, {"a", "b"});
  }
  check_table("1\t2\t\n3\t4\t\n", {2, 2}, v);
  CHECK_NOTED("a,b,\n1,2,\n3,4,\n", "the last column is empty and without a name, for separators end the lines");
  CHECK_REFUSED("a,b,c\n1,2,\n3,4,\n", "column 3 (c): it has no values");
  check_table("a,b\n1,2\n,\n3,4\n,\n,\n", {2, 2}, v, {"a", "b"});
  CHECK_NOTED("a,b\n1,2\n3,4\n,\n,\n", "2 lines of separators alone: left out");
  check_table("Sales of 2020\na,b\n1,2\n3,4\n", {2, 2}, v, {"a", "b"});
  CHECK_NOTED("4,2,setosa\n1,2\n3,4\n", "left out, for the lines below have 2 fields: line 1 (4, 2, setosa)");
}

TEST_CASE("text: commas of decimals are points where they can be nothing else") {
  check_table("a;b\n1,5;-0,25\n+2;,5e1\n", {2, 2}, {1.5, -0.25, 2, 5}, {"a", "b"});
  check_table("1,5\t2,5\n3,5\t4\n", {2, 2}, {1.5, 2.5, 3.5, 4});
  CHECK_NOTED("a;b\n1,5;2\n3;4\n", "decimal commas, as in 1,5, are read as points");
  CHECK_REFUSED("a;b\n1,234;5.6\n2;3\n", "'1,234' is not a number: a comma of decimals or of thousands?");
  CHECK_REFUSED("a;b\n1.234,5;2\n2;3\n", "'1.234,5' is not a number: a comma of decimals or of thousands?");
  CHECK_REFUSED("a,b\n\"1,234\",2\n3,4\n", "'1,234' is not a number: a comma");
}

TEST_CASE("text: rows without a value are refused, or dropped and counted") {
  for (const char* cell :
       {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", "#N/A", "<NA>", "-nan", "n/a"}) {
    CAPTURE(cell);
    std::string text = "a,b\n1,2\n3," + std::string(cell) + "\n5,6\n";
    Table t = parse_csv(text, "f", dropping);
    CHECK(t.values.to_vector<double>() == std::vector<double>{1, 2, 5, 6});
    CHECK(t.rows_dropped == 1);
    CHECK(t.notes == std::vector<std::string>{"left out: 1 of 3 rows have no value in: b (1)"});
    CHECK_REFUSED(text, "line 3, column 2 (b): ");
    CHECK_REFUSED(text, "1 of 3 rows have no value in: b (1). Hint: --set data.missing=drop");
    // a column that is not chosen may lack what it likes
    CHECK(parse_csv(text, "f", {.columns = {"a"}}).values.dim(0) == 3);
  }
  CHECK_REFUSED_OF("a,b\n1,\n,2\n3,4\n",
                   "1 row left, at least 2 are needed: 2 of 3 rows have no value in: a (1), b (1)", dropping);
}

TEST_CASE("columns by name, by number, or all that hold numbers") {
  const char* text = "date,rain,temp,kind\n2012-01-01,1,2,drizzle\n2012-01-02,3,4,sun\n";
  auto chosen = [&](std::vector<NameOrNumber> columns) {
    return parse_csv(text, "some.csv", {.columns = columns});
  };
  Table t = chosen({"temp", "rain"});
  CHECK(t.values.to_vector<double>() == std::vector<double>{2, 1, 4, 3});
  CHECK(t.columns == std::vector<std::string>{"temp", "rain"});
  CHECK(t.places == std::vector<int64_t>{2, 1});
  CHECK(chosen({3, "rain"}).columns == t.columns);
  t = chosen({"numeric"});
  CHECK(t.columns == std::vector<std::string>{"rain", "temp"});
  CHECK(t.notes == std::vector<std::string>{"columns left out: date (date), kind (text)"});
  const char* how =
      "Columns of numbers: rain, temp. Hint: --set data.columns=numeric takes them all, --set "
      "'data.columns=[\"rain\", \"temp\"]' those that are named";
  CHECK_REFUSED(text, how);
  CHECK_REFUSED(text, "line 2, column 1 (date): '2012-01-01' is a date and not a number (nor 1 other column)");
  CHECK_REFUSED_OF(text, "line 2, column 4 (kind): 'drizzle' is not a number", {.columns = {"rain", "kind"}});
  CHECK_REFUSED_OF(text, "has no column 'snow'. " + std::string(how), {.columns = {"snow"}});
  for (int64_t bad : {0, 5, -1})
    CHECK_REFUSED_OF(text, "has no column " + std::to_string(bad) + ": they go from 1 to 4", {.columns = {bad}});
  CHECK(parse_csv("2019,2020,2021\n1,2.5,3\n4,5,6\n", "f", {.columns = {2021, 1}}).columns ==
        std::vector<std::string>{"2021", "2019"});
  CHECK_REFUSED_OF(text, "column 2 (rain) is asked for twice", {.columns = {"rain", 2}});
  CHECK_REFUSED_OF("a,b\nx,y\nz,w\n", "No column holds numbers alone", numeric);
  CHECK_REFUSED_OF("1,2\n3,4\n", "has no column 'a': no line of names was found", {.columns = {"a"}});
  // one bad cell among numbers
  CHECK_REFUSED("a,b\n1,2\n3,x\n5,6\n",
                "line 3, column 2 (b): 'x' is not a number; 2 other cells of the column are");
  // names that cannot be typed are numbers in the hint; names are made unlike
  CHECK_REFUSED("d,it's,b\nx,1,2\nx,3,4\n", "'data.columns=[2, \"b\"]'");
  CHECK(parse_csv("a,a\n1,2\n3,4\n", "f").columns == std::vector<std::string>{"a", "a.1"});
  CHECK_NOTED("a,a\n1,2\n3,4\n", "two columns are called a: column 2 is a.1 here");
  CHECK_NOTED("a,b\n1,5\n2,5\n", "column 2 (b) holds 5 in every row");
  CHECK(as_setting({"a\"b", 3}) == "[\"a\\\"b\", 3]");
}

TEST_CASE("a file says of each column what it holds") {
  TableFile f = TableFile::parse("when;x;n;y\n1/2/2020 10:00;1,5;NA;\n1/3/2020;-2;NA;3\n;4;;inf\n", "f");
  CHECK(f.has_header());
  CHECK(f.rows() == 3);
  REQUIRE(f.columns().size() == 4);
  std::string kinds;
  for (const Column& c : f.columns()) kinds += std::string(name_of(c.kind)) + " ";
  CHECK(kinds == "date number empty number ");
  CHECK(f.columns()[0].missing == 1);
  CHECK(f.columns()[1].low == -2);
  CHECK(f.columns()[1].high == 4);
  CHECK(f.columns()[2].missing == 3);
  CHECK(f.columns()[3].first_infinite.line == 4);
  CHECK(f.columns()[3].numbers == 1);
}

TEST_CASE("text: what is no table is refused, naming line and column") {
  CHECK_REFUSED("", "0 rows");
  CHECK_REFUSED("\n\n", "0 rows");
  CHECK_REFUSED("a,b\n", "0 rows");
  CHECK_REFUSED("a,b\n1,2\n", "1 row of numbers, at least 2");
  CHECK_REFUSED("a,b\n1,2\n\n3,4,5\n", "line 4: 3 fields, other lines have 2");
  CHECK_REFUSED("1,2\n3\n", "line 2: 1 field, other lines have 2");
  CHECK_REFUSED("1,2,3\n4,5\n6,7\n", "line 1: 3 fields, other lines have 2");
  CHECK_REFUSED("1,2\n3,x\n", "line 2, column 2: 'x' is not a number");
  CHECK_REFUSED("1.5,b\n3,4\n", "line 1, column 2: 'b' is not a number");
  CHECK_REFUSED("1,2\na,b\n", "line 2, column 1: 'a' is not a number");
  CHECK_REFUSED("1,2\n3,\n", "line 2, column 2: the field is empty");
  CHECK_REFUSED("nan,1\n1,2\n3,4\n", "line 1, column 1: the value is nan");
  for (const char* bad : {"inf", "-inf", "Infinity", "1e999", "-1e999"})
    CHECK_REFUSED("1,2\n" + std::string(bad) + ",4\n", "line 2, column 1: the value is");
  for (const char* bad : {"1e999", "0x10", "1.2.3", "1 2", "+-1", "--1", "1e", "1_000", "$5", "5%"})
    CHECK_MESSAGE(refusal("1\n2\n" + std::string(bad) + "\n").find("line 3") != std::string::npos, bad);
  CHECK_REFUSED(std::string_view("1,2\n\x01\0\x7f,3\n", 10), "'\\x01\\x00\\x7f' is not a number");
  CHECK_REFUSED("a\n1\n" + std::string(100'000, 'x'), "' is not a number");
}

TEST_CASE("a split holds every row once, and depends on the seed alone") {
  Tensor x = Tensor::arange(200).reshape({100, 2}).to(DType::f64);
  Split a = split_rows(x, 0.2, 7), b = split_rows(x, 0.2, 7), c = split_rows(x, 0.2, 8);
  REQUIRE(a.train.shape() == Shape{80, 2});
  REQUIRE(a.held_out.shape() == Shape{20, 2});
  std::set<double> seen;
  for (const Tensor& part : {a.train, a.held_out})
    for (int64_t i = 0; i < part.dim(0); ++i) {
      CHECK(part.at(2 * i + 1) == part.at(2 * i) + 1);
      seen.insert(part.at(2 * i));
    }
  CHECK(seen.size() == 100);
  CHECK(a.held_out.to_vector<double>() == b.held_out.to_vector<double>());
  CHECK(a.held_out.to_vector<double>() != c.held_out.to_vector<double>());
  CHECK(split_rows(x, 0, 7).held_out.dim(0) == 0);
  CHECK(split_rows(x, 0, 7).train.dim(0) == 100);
  CHECK(split_rows(x, 0.999, 7).train.dim(0) == 1);  // neither part is left empty
  CHECK(split_rows(x, 1e-6, 7).held_out.dim(0) == 1);
  for (double bad : {-0.1, 1.0, static_cast<double>(NAN)}) CHECK_THROWS_AS(split_rows(x, bad, 7), Error);
  CHECK_THROWS_AS(split_rows(Tensor::zeros({1, 2}), 0.5, 7), Error);
}
