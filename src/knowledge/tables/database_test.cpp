#include "tables/build.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/file.h>

using namespace posthorn;
using namespace posthorn::tables;

namespace {

Builder::Done build_all(const std::string& type, const std::string& name, const std::vector<std::pair<std::string, std::string>>& entries,
                        BuildOptions options = {})
{
    auto builder = build(type, name, options);
    REQUIRE(builder);
    for (const auto& [key, value] : entries)
        (*builder)->put(key, value);
    auto done = (*builder)->commit();
    REQUIRE(done);
    return *done;
}

/// "k0" to "k4999": of any kind a file of many pages.
std::vector<std::pair<std::string, std::string>> many()
{
    std::vector<std::pair<std::string, std::string>> entries;
    for (int i = 0; i < 5000; ++i)
        entries.emplace_back(fmt::format("k{}", i), "v");
    return entries;
}

std::string suffix(std::string_view type) { return type == "cdb" ? ".cdb" : ".db"; }

}  // namespace

TEST_CASE("hash, btree, cdb: what was built is found, with or without NUL; the first of two entries stays unless told otherwise")
{
    for (const std::string type : {"hash", "btree", "cdb"}) {
        CAPTURE(type);
        for (const auto nul : {BuildOptions::Nul::native, BuildOptions::Nul::with, BuildOptions::Nul::without}) {
            TestSite site;
            const std::string name = (site.dir / "t").string();
            CHECK(build_all(type, name, {{"key", "one"}, {"key", "two"}, {"other", "x y"}}, {.nul = nul}).duplicates ==
                  std::vector<std::string>{"key"});
            CHECK(site.get(type + ":" + name, "KEY") == "one");
            CHECK(site.get(type + ":" + name, "other") == "x y");
            CHECK(site.get(type + ":" + name, "none such") == "none");
            CHECK(site.get(type + ":" + name, "") == "none");
            CHECK(site.get(type + ":" + name, std::string(100'000, 'k')) == "none");
            CHECK(site.tables.open(type + ":" + name)->entries()->size() == 2);
            // Another file takes its place.
            CHECK(
                build_all(type, name, {{"key", "1"}, {"key", "2"}}, {.duplicate = BuildOptions::Duplicate::replace, .nul = nul}).duplicates.empty());
            site.clock.advance(std::chrono::seconds{2});
            CHECK(site.get(type + ":" + name, "key") == "2");
            CHECK(site.get(type + ":" + name, "other") == "none");
        }
    }
}

TEST_CASE("hash, btree: a change is made in a copy that takes the file's place, with its mode; cdb is built whole")
{
    for (const std::string type : {"hash", "btree"}) {
        TestSite site;
        const std::string name = (site.dir / "t").string();
        build_all(type, name, {{"a", "1"}, {"b", "2"}}, {.mode = 0640});
        auto builder = build(type, name, {.incremental = true, .duplicate = BuildOptions::Duplicate::replace});
        REQUIRE(builder);
        (*builder)->put("c", "3");
        (*builder)->erase("a");
        (*builder)->erase("never");
        CHECK((*builder)->commit()->erased == 1);
        CHECK(site.get(type + ":" + name, "a") == "none");
        CHECK(site.get(type + ":" + name, "b") == "2");
        CHECK(site.get(type + ":" + name, "c") == "3");
        CHECK((std::filesystem::status(name + ".db").permissions() & std::filesystem::perms::mask) == std::filesystem::perms{0640});
        CHECK(std::distance(std::filesystem::directory_iterator(site.dir), {}) == 1);
    }
    CHECK(build("cdb", "x", {.incremental = true}).error().what() == "cdb:x map requires O_RDONLY access mode");
}

TEST_CASE("hash, btree, cdb: a missing, broken or truncated file is an error that passes; a broken new version leaves the old one in force")
{
    for (const std::string type : {"hash", "btree", "cdb"}) {
        CAPTURE(type);
        TestSite site;
        const std::string name = (site.dir / "t").string(), file = name + suffix(type);
        CHECK(site.get(type + ":" + name, "k") == "error: open database " + file + ": No such file or directory");
        site.write("t" + suffix(type), "short");
        site.clock.advance(std::chrono::seconds{2});
        CHECK(site.get(type + ":" + name, "k").starts_with("error: open database " + file + ": "));
        build_all(type, name, many());
        site.clock.advance(std::chrono::seconds{2});
        CHECK(site.get(type + ":" + name, "k4999") == "v");
        site.write("t" + suffix(type), "broken");
        site.clock.advance(std::chrono::seconds{2});
        CHECK(site.get(type + ":" + name, "k4999") == "v");
        CHECK(site.said("the file opened before stays in force"));
    }
}

TEST_CASE("hash: while another program holds the file to write into it, the answer is \"try later\"; what it changed is seen at once")
{
    TestSite site;
    const std::string name = (site.dir / "t").string(), spec = "hash:" + name;
    build_all("hash", name, {{"k", "1"}});
    CHECK(site.get(spec, "k") == "1");
    const Fd writer{::open((name + ".db").c_str(), O_RDWR | O_CLOEXEC)};
    REQUIRE(::flock(writer.get(), LOCK_EX) == 0);
    CHECK(site.get(spec, "k").find("it is being written") != std::string::npos);
    // As a program that writes in place does.
    build_all("hash", (site.dir / "new").string(), {{"k", "22"}, {"l", "3"}});
    std::ifstream fresh(site.dir / "new.db", std::ios::binary);
    const std::string octets((std::istreambuf_iterator<char>(fresh)), {});
    REQUIRE(::pwrite(writer.get(), octets.data(), octets.size(), 0) == static_cast<::ssize_t>(octets.size()));
    REQUIRE(::ftruncate(writer.get(), static_cast<::off_t>(octets.size())) == 0);
    REQUIRE(::flock(writer.get(), LOCK_UN) == 0);
    CHECK(site.get(spec, "k") == "22");
    CHECK(site.get(spec, "l") == "3");
}

TEST_CASE("hash, btree: of a file that was copied in part nothing is \"not there\"")
{
    for (const std::string type : {"hash", "btree"}) {
        CAPTURE(type);
        TestSite site;
        const std::string name = (site.dir / "t").string();
        build_all(type, name, many());
        std::filesystem::resize_file(name + ".db", std::filesystem::file_size(name + ".db") / 2);
        int wrong = 0;
        for (const auto& [key, value] : many())
            wrong += site.get(type + ":" + name, key) == "none" ? 1 : 0;
        CHECK(wrong == 0);
    }
}

TEST_CASE("cdb, lmdb: a file that is cut off while it is open is an error that passes, not the end of the process")
{
    for (const std::string type : {"cdb", "lmdb"}) {
        CAPTURE(type);
        TestSite site;
        const std::string name = (site.dir / "t").string(), spec = type + ":" + name, file = name + "." + type;
        build_all(type, name, many());
        CHECK(site.get(spec, "k4999") == "v");
        std::filesystem::copy_file(file, name + ".kept");
        const auto whole = std::filesystem::file_size(file);
        for (const auto left : {whole - 1, whole / 2, std::uintmax_t{0}}) {                       // as "cp new old" does
            std::filesystem::resize_file(file, left);
            CHECK(site.get(spec, "k4999").starts_with("error: "));
            CHECK_FALSE(site.tables.open(spec)->entries());
        }
        std::filesystem::copy_file(name + ".kept", file, std::filesystem::copy_options::overwrite_existing);
        site.clock.advance(std::chrono::seconds{2});
        CHECK(site.get(spec, "k4999") == "v");
    }
}
