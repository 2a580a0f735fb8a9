#include "tables/composed.hpp"

#include "async/run.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace posthorn;
using namespace posthorn::tables;

namespace {

/// Answers only those who wait, as servers do.
class Remote final : public Table {
public:
    Remote(std::string spec, std::string value) : Table(std::move(spec)), value_(std::move(value)) {}
    bool in_memory() const override { return false; }
    Answer find(std::string_view) override { return Error{"asked without waiting"}; }
    awaitable<Answer> lookup(std::string key) override
    {
        if (key == "none")
            co_return std::nullopt;
        if (value_ == "fail")
            co_return Error{"away"};
        co_return key + value_;
    }

private:
    std::string value_;
};

struct Composed : TestSite {
    Composed()
    {
        tables.add_kind("remote", [](std::string spec, std::string name, Flags, Tables&) { return std::make_shared<Remote>(spec, name); });
    }
    std::string ask(const std::string& spec, const std::string& key)
    {
        asio::io_context loop;
        const auto answer = run(loop, tables.open(spec)->lookup(key));
        return !answer ? "error: " + answer.error().what() : answer->value_or("none");
    }
};

}  // namespace

TEST_CASE("unionmap and pipemap: members in memory answer at once, others are waited for, and what fails is never \"not there\"")
{
    Composed site;
    CHECK(site.tables.open("unionmap:{static:a,inline:{k=b}}")->in_memory());
    CHECK(site.get("unionmap:{static:a,inline:{k=b}}", "k") == "a,b");
    CHECK(site.get("unionmap:{static:{},static:{},static:a,static:{}}", "k") == "a,");
    CHECK(site.get("unionmap:{static:{}}", "k") == "none");    // nothing but emptiness is nothing
    CHECK_FALSE(site.tables.open("unionmap:{static:a,remote:1}")->in_memory());
    CHECK(site.ask("unionmap:{static:a,remote:1}", "k") == "a,k1");
    CHECK(site.ask("unionmap:{remote:1,inline:{x=y}}", "none") == "none");
    CHECK(site.ask("unionmap:{static:a,remote:fail}", "k") == "error: away");
    CHECK(site.ask("pipemap:{remote:1,remote:2}", "k") == "k12");
    CHECK(site.ask("pipemap:{remote:1,inline:{x=y}}", "k") == "none");
    CHECK(site.ask("pipemap:{inline:{k=none},remote:fail}", "k") == "none");
    CHECK(site.ask("pipemap:{inline:{k=l},remote:fail}", "k") == "error: away");
}

TEST_CASE("composed tables are patterns where their first member is, and name the files of all members")
{
    Composed site;
    site.write("r", "/x/ y\n");
    const std::string regexp = "regexp:" + (site.dir / "r").string();
    CHECK(site.tables.open("pipemap:{" + regexp + ",static:a}")->pattern());
    CHECK_FALSE(site.tables.open("pipemap:{static:a," + regexp + "}")->pattern());
    CHECK(files_of("pipemap:{hash:/a, proxy:unionmap:{lmdb:/b, static:x}, cdb:/c}") == std::vector<std::string>{"/a.db", "/b.lmdb", "/c.cdb"});
    CHECK(files_of("debug:texthash:/d") == std::vector<std::string>{"/d"});
}

TEST_CASE("randmap gives each of its values in the long run, debug says every answer in the log")
{
    Composed site;
    std::set<std::string> seen;
    for (int i = 0; i < 500; ++i)
        seen.insert(site.get("randmap:{one, two three}", "any"));
    CHECK(seen == std::set<std::string>{"one", "two", "three"});
    CHECK(site.get("debug:inline:{k=v}", "k") == "v");
    CHECK(site.said("debug:inline:{k=v} lookup: \"k\": \"v\""));
    CHECK(site.get("debug:inline:{k=v}", "l") == "none");
    CHECK(site.said("lookup: \"l\": not found"));
    CHECK(site.get("debug:fail:x", "l") == "error: Application error");
    CHECK(site.said("lookup: \"l\": error: Application error"));
}
