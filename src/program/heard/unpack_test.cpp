#include "aggregate/report.hpp"
#include "heard/heard_testing.hpp"
#include "heard/unpack.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::heard;

namespace {

std::string wrong_with(const Result<std::string>& result) { return result ? "nothing" : result.error().text(); }

}  // namespace

TEST_CASE("unpack: gzip of one member and of several, with padding behind")
{
    const std::string one = aggregate::gzip("hello "), two = aggregate::gzip("world");
    CHECK(unpack_gzip(one + two + std::string(5, '\0'), 100).value() == "hello world");
    CHECK(wrong_with(unpack_gzip("hello", 100)) == "it is not gzip");
    CHECK(wrong_with(unpack_gzip(one.substr(0, one.size() - 3), 100)) == "it is cut off");
    std::string damaged = one;
    damaged[damaged.size() - 6] ^= 1;
    CHECK(wrong_with(unpack_gzip(damaged, 100)) == "it is damaged (incorrect data check)");
}

TEST_CASE("unpack: more than the bound is refused, whatever a small file says of its size")
{
    const std::string zeros(10'000'000, '0');
    const std::string bomb = aggregate::gzip(zeros);
    CHECK(bomb.size() < 20'000);
    CHECK(unpack_gzip(bomb, zeros.size()).value() == zeros);
    CHECK(wrong_with(unpack_gzip(bomb, zeros.size() - 1)) == "it unpacks to more than 9999999 octets");
    CHECK(wrong_with(unpack_gzip(bomb + bomb, zeros.size() + 5)) == "it unpacks to more than 5 octets");
    CHECK(wrong_with(unpack_zip(zipped(zeros, "a.xml"), 1'000)) == "it unpacks to more than 1000 octets");
    CHECK(wrong_with(unpack_zip(zipped(zeros, "a.xml", {.stored = true}), 1'000)) == "it unpacks to more than 1000 octets");
}

TEST_CASE("unpack: a zip file's first file, stored or deflated, with its sizes in front or behind, behind a folder")
{
    for (const ZipForm form : {ZipForm{}, ZipForm{.stored = true}, ZipForm{.sizes_behind = true}}) {
        CHECK(unpack_zip(zipped("<feedback/>", "r.xml", form), 100).value() == "<feedback/>");
        const std::string folder = zipped("", "reports/", {.stored = true});
        CHECK(unpack_zip(folder.substr(0, folder.size() - 4) + zipped("<feedback/>", "reports/r.xml", form), 100).value() == "<feedback/>");
        ZipForm damaged = form;
        damaged.damaged = true;
        CHECK(wrong_with(unpack_zip(zipped("<feedback/>", "r.xml", damaged), 100)) == "it is damaged (its checksum is another one)");
    }
    CHECK(wrong_with(unpack_zip(zipped("x", "r.xml", {.flags = 1}), 100)) == "it is a zip file with a password");
    CHECK(wrong_with(unpack_zip(zipped("x", "r.xml", {.method = 12}), 100)) == "it is a zip file of method 12: expected 0 (stored) or 8 (deflated)");
    CHECK(wrong_with(unpack_zip(zipped("x", "r.xml", {.stored = true, .sizes_behind = true}), 100)) ==
          "it is a zip file that stores a file of unknown size");
    const std::string folder = zipped("", "reports/", {.stored = true});
    CHECK(wrong_with(unpack_zip(folder, 100)) == "it is a zip file without a file");
    const std::string whole = zipped("<feedback/>", "r.xml", {.sizes_behind = true});
    for (std::size_t size = 4; size < whole.size() - 12; ++size)
        CHECK(wrong_with(unpack_zip(std::string_view(whole).substr(0, size), 100)) == "it is cut off");
}
