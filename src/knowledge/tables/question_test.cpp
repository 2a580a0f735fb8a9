#include "tables/question.hpp"

#include "async/run.hpp"
#include "tables/database.hpp"
#include "tables/key_value.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

#include <sqlite3.h>

using namespace posthorn;
using namespace posthorn::tables;

namespace {

std::string expanded(const std::string& text, std::string_view value, std::string_view key)
{
    const auto parsed = Template::parse(text);
    if (!parsed)
        return "error: " + parsed.error().what();
    return parsed->expand(value, key, [](std::string_view piece) { return "<" + std::string(piece) + ">"; }).value_or("none");
}

std::string text(const Answer& answer) { return !answer ? "error: " + answer.error().what() : answer->value_or("none"); }

/// Ends after the tables do.
struct Loop {
    asio::io_context loop;
};
struct Asking : Loop, TestSite {
    std::string ask(const std::string& spec, const std::string& key) { return text(run(loop, tables.open(spec)->lookup(key))); }
};

void make_database(const std::string& path)
{
    sqlite3* db = nullptr;
    REQUIRE(::sqlite3_open(path.c_str(), &db) == SQLITE_OK);
    REQUIRE(::sqlite3_exec(
                db,
                "create table alias(name text, target text); insert into alias values ('a@example.com','b@x.test'), ('a@example.com','c@x.test'),"
                "('it''s@example.com','quoted'), ('empty@example.com',''), ('null@example.com',NULL), ('user@example.com','user@mail.x.test')",
                nullptr, nullptr, nullptr) == SQLITE_OK);
    ::sqlite3_close(db);
}

}  // namespace

TEST_CASE("template: each expansion takes what value or key have; what they have not makes all of it empty")
{
    CHECK(expanded("k='%s'", "u@d.test", "u@d.test") == "k='<u@d.test>'");
    CHECK(expanded("%u at %d", "u@d.test", "u@d.test") == "<u> at <d.test>");
    CHECK(expanded("%u", "bare", "bare") == "<bare>");
    CHECK(expanded("%d", "bare", "bare") == "none");
    CHECK(expanded("%u", "@d.test", "@d.test") == "none");
    CHECK(expanded("%1.%2.%3", "u@a.b.test", "u@a.b.test") == "<test>.<b>.<a>");
    CHECK(expanded("%4", "u@a.b.test", "u@a.b.test") == "none");
    CHECK(expanded("%s for %S, %U, %D", "value", "u@d.test") == "<value> for <u@d.test>, <u>, <d.test>");
    CHECK(expanded("100%%", "x", "x") == "100%");
    CHECK(expanded("%s", "", "x") == "none");
    CHECK(expanded("a%b", "x", "x").starts_with("error: \"%b\" is no part of a template"));
    CHECK(expanded("a%", "x", "x").starts_with("error: \"%\""));
}

TEST_CASE("sqlite: rows and columns become one value, keys are quoted, domains limit what is asked, results pass through their format")
{
    Asking site;
    make_database((site.dir / "db").string());
    const std::string file = (site.dir / "m.cf").string(), dbpath = "dbpath = " + (site.dir / "db").string() + "\n";
    const auto spec = [&](const std::string& name, const std::string& parameters) {
        site.write(name, dbpath + parameters);
        return "sqlite:" + (site.dir / name).string();
    };
    const std::string plain = spec("plain.cf", "query = SELECT target FROM alias WHERE name = '%s'\n");
    CHECK_FALSE(site.tables.open(plain)->in_memory());
    CHECK(site.ask(plain, "A@example.com") == "b@x.test,c@x.test");
    CHECK(site.ask(plain, "it's@example.com") == "quoted");
    CHECK(site.ask(plain, "' or 1=1 --") == "none");
    CHECK(site.ask(plain, "empty@example.com") == "none");
    CHECK(site.ask(plain, "null@example.com") == "none");
    CHECK(site.ask(plain, "nobody") == "none");
    CHECK(site.ask(spec("old.cf", "table = alias\nselect_field = target\nwhere_field = name\nadditional_conditions = order by target desc\n"),
                   "a@example.com") == "c@x.test,b@x.test");
    CHECK(site.ask(spec("format.cf", "query = SELECT target FROM alias WHERE name = '%s'\nresult_format = smtp:[%d]\n"), "user@example.com") ==
          "smtp:[mail.x.test]");
    CHECK(site.ask(spec("limit.cf", "query = SELECT target FROM alias WHERE name = '%s'\nexpansion_limit = 1\n"), "a@example.com") ==
          "error: more than 1 results (expansion_limit) for key \"a@example.com\"");
    const std::string domain = spec("domain.cf", "query = SELECT 1\ndomain = other.test, example.com\n");
    CHECK(site.ask(domain, "u@example.com") == "1");
    CHECK(site.ask(domain, "u@example.org") == "none");
    CHECK(site.ask(domain, "@example.com") == "none");
    CHECK(site.ask(domain, "example.com") == "none");
}

TEST_CASE("sqlite: what is wrong is an error that names file, line and parameter, or says what the database said; never \"not there\"")
{
    Asking site;
    make_database((site.dir / "db").string());
    const std::string dir = site.dir.string(), dbpath = "dbpath = " + dir + "/db\n";
    const auto ask = [&](const std::string& name, const std::string& parameters) {
        site.write(name, parameters);
        return site.ask("sqlite:" + dir + "/" + name, "k");
    };
    CHECK(ask("a.cf", dbpath) == "error: " + dir + "/a.cf: query: neither query nor table, select_field and where_field are set");
    CHECK(ask("b.cf", dbpath + "query = select 'x'\nexpansion_limit = many\n") ==
          "error: " + dir + "/b.cf, line 3: expansion_limit: \"many\" is no number from 0 to 1000000000");
    CHECK(ask("c.cf", dbpath + "query = select %x\n").starts_with("error: " + dir + "/c.cf, line 2: query: \"%x\" is no part of a template"));
    CHECK(ask("d.cf", "query = select 1\n").find("dbpath") != std::string::npos);
    CHECK(ask("e.cf", dbpath + "query = selekt 1\n") == "error: " + dir + "/db: near \"selekt\": syntax error");
    CHECK(ask("f.cf", "dbpath = " + dir + "/none\nquery = select 1\n") == "error: connect to " + dir + "/none: unable to open database file");
    CHECK(ask("g.cf", "dbpath = " + dir + "/none\nquery = select 1\n").starts_with("error: connect to "));
    CHECK(site.ask("sqlite:" + dir + "/nofile.cf", "k") == "error: open " + dir + "/nofile.cf: No such file or directory");
    // A server that failed rests for a minute, and says so.
    CHECK(site.ask("sqlite:" + dir + "/g.cf", "k") == "error: no server answers; each is tried again after a minute");
}

TEST_CASE("sources whose parameters stand in main.cf: the name, an underscore, the parameter")
{
    Asking site;
    make_database((site.dir / "db").string());
    site.tables.set_parameters([&](const std::string& name) -> std::optional<std::string> {
        if (name == "mine_dbpath")
            return (site.dir / "db").string();
        if (name == "mine_query")
            return "SELECT target FROM alias WHERE name = '%s'";
        return std::nullopt;
    });
    CHECK(site.ask("sqlite:mine", "user@example.com") == "user@mail.x.test");
    CHECK(site.get("sqlite:other", "k") == "error: bad string length 0 < 1: other_dbpath = ");
    CHECK(files_of("sqlite:mine").empty());
    CHECK(files_of("proxy:mysql:/etc/x.cf") == std::vector<std::string>{"/etc/x.cf"});
}

TEST_CASE("memcache and redis: answers as they come in pieces, and what is none")
{
    const auto measured = [](auto measure, const std::string& whole) {
        for (std::size_t size = 0; size < whole.size(); ++size)
            CHECK(measure(whole.substr(0, size)).value() == 0);
        CHECK(measure(whole).value() == whole.size());
    };
    const auto memcache = [](std::string_view octets) { return measure_memcache(octets, 100, 50); };
    measured(memcache, "VALUE key 0 5\r\nab\r\nc\r\nEND\r\n");
    measured(memcache, "END\r\n");
    CHECK(text(memcache_answer("VALUE key 0 5\r\nab\r\nc\r\nEND\r\n")) == "ab\r\nc");
    CHECK(text(memcache_answer("END\r\n")) == "none");
    CHECK(text(memcache_answer("SERVER_ERROR out of memory\r\n")) == "error: unusable answer \"SERVER_ERROR out of memory\"");
    CHECK_FALSE(memcache("VALUE key 0 101\r\n").has_value());
    CHECK_FALSE(memcache("VALUE key 0 x\r\n").has_value());
    CHECK_FALSE(memcache("VALUE key 0 2\r\nabcEND\r\n..").has_value());
    CHECK_FALSE(memcache(std::string(60, 'x')).has_value());

    const auto redis = [](std::string_view octets) { return measure_redis(octets, 100); };
    measured(redis, "$5\r\nab\r\nc\r\n");
    measured(redis, "$-1\r\n");
    measured(redis, "-ERR unknown command\r\n");
    CHECK(text(redis_answer("$5\r\nab\r\nc\r\n")) == "ab\r\nc");
    CHECK(text(redis_answer("$-1\r\n")) == "none");
    CHECK(text(redis_answer("-WRONGTYPE no string\r\n")) == "error: WRONGTYPE no string");
    CHECK(text(redis_answer("*0\r\n")) == "error: unusable answer \"*0\"");
    CHECK_FALSE(redis("$-2\r\n").has_value());
    CHECK_FALSE(redis("$101\r\n").has_value());
    CHECK_FALSE(redis("$2\r\nabcd").has_value());
}
