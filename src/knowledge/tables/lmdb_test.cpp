#include "tables/build.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

using namespace posthorn;
using namespace posthorn::tables;

namespace {

Builder::Done build_all(const std::string& name, const std::vector<std::pair<std::string, std::string>>& entries, BuildOptions options = {})
{
    auto builder = build("lmdb", name, options);
    REQUIRE(builder);
    for (const auto& [key, value] : entries)
        (*builder)->put(key, value);
    auto done = (*builder)->commit();
    REQUIRE(done);
    return *done;
}

}  // namespace

TEST_CASE("lmdb: what was built is found, with or without NUL; the first of two entries stays unless told otherwise")
{
    for (const auto nul : {BuildOptions::Nul::native, BuildOptions::Nul::without}) {
        TestSite site;
        const std::string name = (site.dir / "t").string();
        const auto done = build_all(name, {{"key", "one"}, {"key", "two"}, {"other", "x y"}}, {.nul = nul});
        CHECK(done.duplicates == std::vector<std::string>{"key"});
        CHECK(site.get("lmdb:" + name, "KEY") == "one");
        CHECK(site.get("lmdb:" + name, "other") == "x y");
        CHECK(site.get("lmdb:" + name, "none such") == "none");
        CHECK(site.get("lmdb:" + name, "") == "none");
        CHECK(site.get("lmdb:" + name, std::string(2000, 'k')) == "none");
        CHECK(site.tables.open("lmdb:" + name)->entries()->size() == 2);
        CHECK(
            build_all(name, {{"key", "three"}}, {.incremental = true, .duplicate = BuildOptions::Duplicate::replace, .nul = nul}).duplicates.empty());
        CHECK(build_all(name, {{"other", "z"}}, {.incremental = true, .duplicate = BuildOptions::Duplicate::ignore, .nul = nul}).duplicates.empty());
        CHECK(site.get("lmdb:" + name, "key") == "three");   // written in place: seen at once
        CHECK(site.get("lmdb:" + name, "other") == "x y");
    }
}

TEST_CASE("lmdb: a missing, broken or truncated file is an error that passes, and recovers when the file is put right")
{
    TestSite site;
    const std::string name = (site.dir / "t").string();
    CHECK(site.get("lmdb:" + name, "k") == "error: open database " + name + ".lmdb: No such file or directory");
    site.write("t.lmdb", std::string(8192, 'x'));
    site.clock.advance(std::chrono::seconds{2});
    CHECK(site.get("lmdb:" + name, "k").starts_with("error: open database " + name + ".lmdb: "));
    std::vector<std::pair<std::string, std::string>> many;
    for (int i = 0; i < 5000; ++i)
        many.emplace_back(fmt::format("k{}", i), "v");
    build_all(name, many);
    const auto size = std::filesystem::file_size(name + ".lmdb");
    std::filesystem::copy_file(name + ".lmdb", name + ".short");
    std::filesystem::resize_file(name + ".short", size / 2);
    std::filesystem::rename(name + ".short", name + ".lmdb");
    site.clock.advance(std::chrono::seconds{2});
    CHECK(site.get("lmdb:" + name, "k1") == "error: open database " + name + ".lmdb: the file is truncated");
    build_all(name, many);
    site.clock.advance(std::chrono::seconds{2});
    CHECK(site.get("lmdb:" + name, "k4999") == "v");
}

TEST_CASE("lmdb: a new file grows past lmdb_map_size, and an error leaves the old file as it was")
{
    TestSite site;
    const std::string name = (site.dir / "t").string();
    build_all(name, {{"k", "old"}});
    std::vector<std::pair<std::string, std::string>> many;
    for (int i = 0; i < 3000; ++i)
        many.emplace_back(fmt::format("k{}", i), std::string(100, 'v'));
    build_all(name + "2", many, {.map_size = 65536});
    CHECK(site.get("lmdb:" + name + "2", "k2999") == std::string(100, 'v'));
    auto builder = build("lmdb", name, {});
    (*builder)->put("k", "new");
    (*builder)->put(std::string(600, 'k'), "too long");
    CHECK_FALSE((*builder)->commit());
    CHECK(site.get("lmdb:" + name, "k") == "old");
    CHECK(std::distance(std::filesystem::directory_iterator(site.dir), {}) == 2);    // no half-made file left behind
}

TEST_CASE("lmdb: lookups while another writes in place always see a whole state")
{
    TestSite site;
    const std::string name = (site.dir / "t").string();
    build_all(name, {{"a", "0"}, {"b", "0"}});
    const auto table = site.tables.open("lmdb:" + name);
    std::atomic<bool> failed = false;
    std::jthread writer([&](std::stop_token stop) {
        for (int round = 1; !stop.stop_requested(); ++round) {
            auto builder = build("lmdb", name, {.incremental = true, .duplicate = BuildOptions::Duplicate::replace});
            for (int i = 0; i < 20; ++i)
                (*builder)->put(fmt::format("k{}", i), std::string(200, static_cast<char>('a' + round % 26)));
            (*builder)->put("a", std::to_string(round));
            failed = failed || !(*builder)->commit();
        }
    });
    int highest = 0;
    for (int ask = 0; ask < 5000; ++ask) {
        const auto answer = table->find("a");
        REQUIRE(answer);
        REQUIRE(*answer);
        const int now = std::stoi(**answer);
        REQUIRE(now >= highest);
        highest = now;
        const auto filler = table->find("k7");
        REQUIRE(filler);
        REQUIRE((!*filler || ((*filler)->size() == 200 && (*filler)->find_first_not_of((*filler)->front()) == std::string::npos)));
    }
    writer.request_stop();
    writer.join();
    CHECK_FALSE(failed);
}

TEST_CASE("build: a kind without a writer says so")
{
    CHECK(build("texthash", "x", {}).error().what() == "unsupported dictionary type: texthash does not support bulk-mode creation.");
    CHECK(build("texthash", "x", {.incremental = true}).error().what() == "texthash:x map requires O_RDONLY access mode");
    CHECK(build("foo", "x", {}).error().what() == "unsupported dictionary type: foo");
}
