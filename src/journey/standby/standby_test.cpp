#include "standby/pair_testing.hpp"

#include "spool/spool.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::standby;

namespace {

void put(spool::FileOps& files, const std::string& name, std::string_view octets)
{
    std::unique_ptr<spool::File> file;
    REQUIRE(files.open(name, spool::Open::create, file) == 0);
    REQUIRE(file->truncate(0) == 0);
    REQUIRE(file->write(0, octets) == 0);
    REQUIRE(file->sync() == 0);
    REQUIRE(files.sync_folder("") == 0);
}

std::string content_of(spool::FileOps& files, const std::string& name)
{
    std::unique_ptr<spool::File> file;
    std::uint64_t size = 0;
    if (files.open(name, spool::Open::read_only, file) != 0 || file->size(size) != 0)
        return "(none)";
    std::string octets(size, '\0');
    std::size_t got = 0;
    file->read(0, octets, got);
    return octets;
}

}  // namespace

TEST_CASE("mirror: what is there, and what changes, is on both machines when a sync returns")
{
    MachinePair pair({});
    put(pair.here, "spool.db", "of before");
    pair.start();
    const bool in_step = pair.wait_for(Mirror::State::in_step);
    for (const std::string& why : pair.ended)
        MESSAGE(why);
    REQUIRE(in_step);
    CHECK(content_of(pair.there, "spool.db") == "of before");
    put(pair.files(), "orders", "one");
    CHECK(content_of(pair.there, "orders") == "one");
}
