// The pieces of a report: text, numbers and curves as HTML.

#include <doctest/doctest.h>

#include <cmath>

#include "apps/report/html.h"
#include "apps/report/report_run_sections.h"
#include "apps/report/svg_curves.h"
#include "apps/report/template.h"

using namespace vapo::app;

namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}
bool says(const std::string& text, const std::string& part) { return count(text, part) > 0; }

std::string value_html(const Json& value) { return rendered("value", value_view(value)); }
std::string curves_html(const CurveFigure& figure, const std::string& id) {
  Json view = plot_view(figure, id);
  return view.is_null() ? "" : rendered("plot", view);
}

// The pairs after M and L in the curves of an SVG.
std::vector<std::pair<double, double>> places(const std::string& svg) {
  std::vector<std::pair<double, double>> out;
  size_t at = svg.find("class=\"curve-1\"");
  REQUIRE(at != std::string::npos);
  size_t begin = svg.find(" d=\"", at) + 4;
  std::string path = svg.substr(begin, svg.find('"', begin) - begin);
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != 'M' && path[i] != 'L') continue;
    double x = 0, y = 0;
    REQUIRE(std::sscanf(path.c_str() + i + 1, "%lf %lf", &x, &y) == 2);
    out.emplace_back(x, y);
  }
  return out;
}

}  // namespace

TEST_CASE("escaped text neither opens a tag nor leaves an attribute") {
  CHECK(escaped("<script>alert('&\"')</script>") == "&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;");
  CHECK(escaped("Φ(x,t)\n\t") == "Φ(x,t)\n\t");
  CHECK(escaped(std::string_view("a\0\x1b\x7f", 4)) == "a\uFFFD\uFFFD\uFFFD");
}

TEST_CASE("templates escape what they show; the style sheet, which is ours, is the one exception") {
  CHECK(report_files().contains("report.css"));
  for (const auto& [name, text] : report_files()) {
    CAPTURE(name);
    CHECK(count(text, "{{{") + count(text, "{{&") == (name == "page.html" ? count(text, "{{{style}}}") : 0));
  }
  Json view = fact_view("<b>", "\"><script>");
  CHECK(rendered("facts", {{"facts", {view}}}) ==
        "<dl class=\"facts\">\n<div><dt>&lt;b&gt;</dt><dd>&quot;&gt;&lt;script&gt;</dd></div>\n</dl>");
  CHECK(rendered("value", value_view("{{code}} {{{style}}} {{>page}}")) == "{{code}} {{{style}}} {{&gt;page}}");
}

TEST_CASE("a template that names what its view does not have is no page") {
  CHECK_THROWS_WITH(rendered("value", {{"code", nullptr}}), doctest::Contains("'items'"));
  CHECK_THROWS_WITH(rendered("no-such", Json::object()), doctest::Contains("no-such"));
}

TEST_CASE("a network is called what the config calls it, also where nobody has found words for it") {
  auto words = [](const std::string& config) {
    auto [name, made_of] = network_words(Json::parse(config));
    return name + "|" + made_of;
  };
  CHECK(words(R"({"model": {"kind": "mlp", "hidden": [16, 32], "activation": "silu", "time_embedding": 0}})") ==
        "perceptron|of 16, 32 units, silu, not told the time");
  CHECK(words(R"({"model": {"kind": "unet"}, "unet": {"base_width": 8, "multipliers": [1, 2], "blocks_per_level": 1,
                  "attention_downsamplings": [2], "time": true, "classes": 10}})") ==
        "U-Net|of width 8 times 1, 2, 1 block a level, attention where the image is smaller by 2, 10 classes");
  CHECK(words(R"({"model": {"kind": "wide_resnet"}, "wide_resnet": {"depth": 28, "widen": 10, "head": "linear",
                  "time": false, "classes": 0}})") == "WideResNet|28-10, linear head, not told the time");
  CHECK(
      words(R"({"model": {"kind": "vision_transformer"}, "vision_transformer": {"patch_size": 4, "widths": [8, 16],
                  "time": false, "classes": 3}})") ==
      "vision transformer|of patch size 4, widths 8, 16, not told the time, 3 classes");
  CHECK(words(R"({"model": {"kind": "forgotten"}})") == "forgotten|");
}

TEST_CASE("numbers are rounded to four digits, and say whether they were") {
  CHECK(rounded(0) == "0");
  CHECK(rounded(0.5) == "0.5");
  CHECK(rounded(0.50001) == "0.5000");
  CHECK(rounded(-3) == "−3");
  CHECK(rounded(1.0049999) == "1.005");
  CHECK(rounded(0.99999) == "1.000");
  CHECK(rounded(0.00012345) == "0.0001234");  // the nearest double lies below the half
  CHECK(rounded(1.2346e-7) == "1.235×10⁻⁷");
  CHECK(rounded(1e-8) == "10⁻⁸");
  CHECK(rounded(-2e12) == "−2×10¹²");
  CHECK(rounded(12345.6) == "12,350");
  CHECK(rounded(999999) == "1.000×10⁶");
  CHECK(rounded(9999) == "9999");
  CHECK(rounded(0.1 + 0.2) == "0.3");
  CHECK(rounded(NAN) == "–");
  CHECK(rounded(-INFINITY) == "–");
  CHECK(rounded(123456, 7) == "123,456");
  CHECK(grouped(9999) == "9999");
  CHECK(grouped(1234567) == "1,234,567");
  CHECK(grouped(-100000) == "−100,000");
}

TEST_CASE("a value keeps its digits as title where it was rounded") {
  CHECK(value_html(Json(0.123456789)) == "<span title=\"0.123456789\">0.1235</span>");
  CHECK(value_html(Json(-0.25)) == "−0.25");
  CHECK(value_html(Json(50000)) == "50,000");
  CHECK(value_html(Json(UINT64_MAX)) == "18446744073709551615");
  CHECK(value_html(Json(1e-9)) == "<span title=\"1e-09\">10⁻⁹</span>");
  CHECK(says(value_html(Json()), "–"));
  CHECK(value_html(Json(true)) == "true");
  CHECK(value_html(Json("a<b")) == "a&lt;b");
  CHECK(value_html(Json({1, "<", 0.5})) == "1, &lt;, 0.5");
  CHECK(value_html(Json::array()) == "none");
  CHECK(value_html(Json{{"<", 1}}) == "<code>{&quot;&lt;&quot;:1}</code>");
}

TEST_CASE("base64 is that of RFC 4648") {
  const char* pairs[][2] = {{"", ""},
                            {"f", "Zg=="},
                            {"fo", "Zm8="},
                            {"foo", "Zm9v"},
                            {"foob", "Zm9vYg=="},
                            {"fooba", "Zm9vYmE="},
                            {"foobar", "Zm9vYmFy"},
                            {"\xff\xfe\xfd", "//79"}};
  for (auto [bytes, text] : pairs) CHECK(base64(bytes) == text);
}

TEST_CASE("ticks are round, inside, and about as many as wanted") {
  CHECK(round_ticks(0, 2600, 5) == std::vector<double>{0, 500, 1000, 1500, 2000, 2500});
  CHECK(round_ticks(-1.1, 0.9, 4) == std::vector<double>{-1, -0.5, 0, 0.5});
  CHECK(logarithmic_ticks(0.5, 2e3) == std::vector<double>{1, 10, 100, 1000});
  CHECK(logarithmic_ticks(3, 150) == std::vector<double>{5, 10, 20, 50, 100});
  for (double low : {-7.3, 1e-9, 12345.0}) {
    for (double range : {1e-6, 0.4, 3.0, 9e8}) {
      std::vector<double> ticks = round_ticks(low, low + range, 5);
      CHECK(ticks.size() >= 3);
      CHECK(ticks.size() <= 8);
      CHECK(ticks.front() >= low - 1e-9 * range);
      CHECK(ticks.back() <= low + range * (1 + 1e-9));
    }
  }
  CHECK(logarithmic_ticks(1e-30, 1e30).size() <= 12);
}

TEST_CASE("curves: a value that is not finite is a gap, words tell what is drawn, and nothing makes no figure") {
  CurveFigure figure{.title = "Loss <1>", .curves = {{"training", {10, 20, 30, 40}, {3, NAN, 1, 2}}}};
  std::string html = curves_html(figure, "p");
  CHECK(says(html, "Loss &lt;1&gt;"));
  CHECK(count(html.substr(html.find("class=\"curve-1\"")), "M") == 2);
  CHECK(says(html, "training: 3 at 10 first, 2 at 40 last; least 1 at 30, largest 3 at 10."));
  CHECK(says(html, "aria-labelledby=\"p-title p-words\""));
  CHECK_FALSE(says(html, "class=\"key"));  // one curve needs no legend
  CHECK_FALSE(says(html, "nan"));
  auto at = places(html);
  REQUIRE(at.size() == 3);
  CHECK(at[0].first < at[1].first);
  CHECK(at[0].second < at[2].second);  // larger is higher
  CHECK(at[2].second < at[1].second);
  figure.curves.push_back({"held out", {20}, {2}});
  CHECK(count(curves_html(figure, "p"), "class=\"key") == 3);  // the legend and its two keys
  CHECK(curves_html({.title = "x", .curves = {{"y", {1, 2}, {NAN, INFINITY}}}}, "p").empty());
  CHECK(curves_html({.title = "x", .curves = {{"y", {}, {}}}}, "p").empty());
  html = curves_html({.title = "x", .curves = {{"y", {5}, {7}}}}, "p");  // one point has axes too
  CHECK(places(html).size() == 1);
  CHECK_FALSE(says(html, "nan"));
}

TEST_CASE("curves: the axis is logarithmic where all is positive and spans a factor of 30") {
  auto drawn = [](std::vector<double> y) {
    return curves_html({.title = "x",
                        .curves = {{"y", {1, 2, 3}, std::move(y)}},
                        .scale = CurveFigure::Scale::logarithmic_if_it_fits},
                       "p");
  };
  CHECK(says(drawn({1, 10, 100}), "Logarithmic axis"));
  auto at = places(drawn({1, 10, 100}));
  CHECK(at[0].second - at[1].second == doctest::Approx(at[1].second - at[2].second).epsilon(0.01));
  CHECK_FALSE(says(drawn({1, 10, 20}), "Logarithmic"));
  CHECK_FALSE(says(drawn({-1, 10, 100}), "Logarithmic"));
  CHECK_FALSE(says(drawn({0, 10, 100}), "Logarithmic"));
}

TEST_CASE("curves: of a hundred thousand points few are drawn, and the extremes among them") {
  Curve c{.label = "y", .x = {}, .y = {}};
  for (int i = 0; i < 100'000; ++i) {
    c.x.push_back(i);
    c.y.push_back(i == 43'210 ? 9 : i == 76'543 ? -9 : std::sin(i));
  }
  auto at = places(curves_html({.title = "x", .curves = {c}}, "p"));
  CHECK(at.size() < 4000);
  double top = 1e9, bottom = 0;
  for (auto [x, y] : at) {
    top = std::min(top, y);
    bottom = std::max(bottom, y);
  }
  CHECK(bottom - top > 150);
}

TEST_CASE("the least numbers are rounded, too") {
  CHECK(rounded(1e-310) == "10⁻³¹⁰");
  CHECK(says(rounded(5e-324), "10⁻³²⁴"));
}

TEST_CASE("curves have axes where the values differ by rounding alone, and where they are extreme") {
  using Scale = CurveFigure::Scale;
  for (auto [a, b] : {std::pair{1.0, std::nextafter(1.0, 2.0)},
                      {0.0, 5e-324},
                      {1e15, 1e15 + 0.125},
                      {-9e299, 9e299},
                      {5e-324, 9e299}}) {
    CAPTURE(a);
    CAPTURE(b);
    for (Scale scale : {Scale::logarithmic_if_it_fits, Scale::from_zero}) {
      std::string html = curves_html({.title = "t", .curves = {{"c", {0, 1}, {a, b}}}, .scale = scale}, "plot");
      CHECK(says(html, "</svg>"));
      CHECK_FALSE(says(html, "nan"));
      CHECK_FALSE(says(html, "inf"));
      CHECK(places(html).size() == 2);
    }
  }
}
