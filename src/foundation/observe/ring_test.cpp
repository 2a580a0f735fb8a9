#include "observe/ring.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

using namespace posthorn;
using namespace posthorn::observe;
using std::chrono::seconds;

namespace {

struct RingFolder {
    RingFolder()
    {
        char name[] = "/tmp/posthorn-ring-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~RingFolder() { std::filesystem::remove_all(path); }
    std::uint64_t octets() const
    {
        std::uint64_t all = 0;
        for (const auto& file : std::filesystem::directory_iterator(path))
            all += file.file_size();
        return all;
    }
    std::string path;
};

std::vector<std::string> records(const RingFolder& folder, const std::string& name = "bad")
{
    std::vector<std::string> found;
    REQUIRE(read_ring(folder.path, name, [&](WallTime, std::string_view record) { found.emplace_back(record); }).has_value());
    return found;
}

const WallTime noon{seconds{1'767'225'600}};

}  // namespace

TEST_CASE("ring: what was appended is read in order, by name, after the writer has gone and come back, from files of mode 0600")
{
    const RingFolder folder;
    CHECK(records(folder).empty());
    {
        auto ring = *Ring::open(folder.path, "bad", {});
        auto other = *Ring::open(folder.path, "good", {});
        CHECK(ring.append(noon, "one").has_value());
        CHECK(ring.append(noon + seconds{1}, std::string("t\0wo", 4)).has_value());
        CHECK(other.append(noon, "fine").has_value());
    }
    auto ring = *Ring::open(folder.path, "bad", {});
    CHECK(ring.append(noon + seconds{2}, "").has_value());
    CHECK(records(folder) == std::vector<std::string>{"one", std::string("t\0wo", 4), ""});
    CHECK(records(folder, "good") == std::vector<std::string>{"fine"});
    for (const auto& file : std::filesystem::directory_iterator(folder.path))
        CHECK((file.status().permissions() & std::filesystem::perms::mask) == std::filesystem::perms(0600));
    CHECK(read_ring(folder.path + "/nowhere", "bad", [](WallTime, std::string_view) {}).has_value());
}

TEST_CASE("ring: it holds its octets, its number and its age, and the newest survive")
{
    const RingFolder folder;
    auto ring = *Ring::open(folder.path, "bad", {.octets = 8000, .age = seconds{800}});
    std::string last;
    for (int i = 0; i < 1000; ++i) {
        last = std::to_string(i) + std::string(84, 'x');
        REQUIRE(ring.append(noon, last).has_value());
        REQUIRE(folder.octets() <= 8000);
        REQUIRE(records(folder).back() == last);
    }
    CHECK(records(folder).size() > 60);
    // Age: what is older than 800 s is gone, at most 100 s of the same segment with it.
    for (int second = 0; second < 3000; second += 10)
        REQUIRE(ring.append(noon + seconds{second}, std::to_string(second)).has_value());
    std::vector<std::string> young = records(folder);
    CHECK(std::stoi(young.front()) >= 2990 - 900);
    CHECK(std::stoi(young.front()) <= 2990 - 700);
    ring.prune(noon + seconds{4000});
    CHECK(records(folder).empty());
    CHECK(folder.octets() == 0);
    // Number: at least so many, at most an eighth more.
    ring.limit({.octets = 8000, .age = seconds{800}, .records = 16});
    for (int i = 0; i < 100; ++i)
        REQUIRE(ring.append(noon + seconds{4001}, std::to_string(i)).has_value());
    young = records(folder);
    CHECK(young.size() >= 16);
    CHECK(young.size() <= 18);
    CHECK(young.back() == "99");
    CHECK_FALSE(ring.append(noon, std::string(8000, 'x')).has_value());
}

TEST_CASE("ring: a frame that a kill cut short, or that something wrote over, ends its file and nothing else")
{
    const RingFolder folder;
    {
        auto ring = *Ring::open(folder.path, "bad", {});
        REQUIRE(ring.append(noon, "one").has_value());
        REQUIRE(ring.append(noon, "two").has_value());
    }
    const std::string first = std::filesystem::directory_iterator(folder.path)->path();
    std::filesystem::resize_file(first, std::filesystem::file_size(first) - 1);
    {
        auto ring = *Ring::open(folder.path, "bad", {});
        REQUIRE(ring.append(noon, "three").has_value());
    }
    CHECK(records(folder) == std::vector<std::string>{"one", "three"});
    std::fstream(first, std::ios::in | std::ios::out | std::ios::binary).seekp(17).put('X');
    CHECK(records(folder) == std::vector<std::string>{"three"});
    std::ofstream(first, std::ios::trunc) << std::string(40, '\xff');
    CHECK(records(folder) == std::vector<std::string>{"three"});
}

TEST_CASE("ring: what a full disk does not take leaves nothing behind, and room made later is used")
{
    const RingFolder folder;
    auto ring = *Ring::open(folder.path, "bad", {});
    REQUIRE(ring.append(noon, "one").has_value());
    // A limit of file size is as good as a full disk: a short write, then none.
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const auto handled = std::signal(SIGXFSZ, SIG_IGN);
    rlimit small = before;
    small.rlim_cur = 60;
    ::setrlimit(RLIMIT_FSIZE, &small);
    const auto full = ring.append(noon, std::string(1000, 'x'));
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handled);
    REQUIRE_FALSE(full.has_value());
    CHECK(records(folder) == std::vector<std::string>{"one"});
    CHECK(ring.append(noon, "two").has_value());
    CHECK(records(folder) == std::vector<std::string>{"one", "two"});
}
