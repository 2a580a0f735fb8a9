#include "async/run.hpp"
#include "observe/testing.hpp"
#include "tables/database.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <thread>

#include <sqlite3.h>

using namespace posthorn;
using namespace posthorn::tables;

namespace {

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

TEST_CASE("sqlite: the first column of all rows becomes one value, keys are quoted, domains limit what is asked, results pass through their format")
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
    const observe::AskedSince asked(observe::Helper::table);
    CHECK(site.ask(plain, "A@example.com") == "b@x.test,c@x.test");
    CHECK(site.ask(spec("two.cf", "query = SELECT target, name FROM alias WHERE name = '%s'\n"), "a@example.com") == "b@x.test,c@x.test");
    CHECK(site.ask(plain, "it's@example.com") == "quoted");
    CHECK(site.ask(plain, "' or 1=1 --") == "none");
    CHECK(site.ask(plain, "null@example.com") == "none");
    CHECK(site.sink->lines.empty());
    CHECK(site.ask(plain, "empty@example.com") == "none");
    CHECK(site.said("table \"" + plain + "\": empty lookup result for: \"empty@example.com\" -- ignored"));
    CHECK(site.ask(plain, "nobody") == "none");
    CHECK(site.ask(spec("old.cf", "table = alias\nselect_field = target\nwhere_field = name\nadditional_conditions = order by target desc\n"),
                   "a@example.com") == "c@x.test,b@x.test");
    CHECK(site.ask(spec("format.cf", "query = SELECT target FROM alias WHERE name = '%s'\nresult_format = smtp:[%d]\n"), "user@example.com") ==
          "smtp:[mail.x.test]");
    CHECK(site.ask(spec("limit.cf", "query = SELECT target FROM alias WHERE name = '%s'\nexpansion_limit = 1\n"), "a@example.com") ==
          "error: Expansion limit exceeded for key: 'a@example.com' (expansion_limit = 1)");
    CHECK(site.ask(spec("unlimited.cf", "query = SELECT target FROM alias WHERE name = '%s'\nexpansion_limit = -1\n"), "a@example.com") ==
          "b@x.test,c@x.test");
    CHECK(asked.count() == observe::AskedCount{11, 1, 0});
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
    CHECK(ask("n.cf", dbpath + "query = select 1\nresult_format =\n") ==
          "error: " + dir + "/n.cf, line 3: bad string length 0 < 1: result_format = ");
    CHECK(ask("d.cf", "query = select 1\n") == "error: " + dir + "/d.cf: bad string length 0 < 1: dbpath = ");
    CHECK(ask("e.cf", dbpath + "query = selekt 1\n") == "error: " + dir + "/db: near \"selekt\": syntax error");
    CHECK(ask("f.cf", "dbpath = " + dir + "/none\nquery = select 1\n") == "error: connect to " + dir + "/none: unable to open database file");
    CHECK(ask("g.cf", "dbpath = " + dir + "/none\nquery = select 1\n").starts_with("error: connect to "));
    CHECK(site.ask("sqlite:" + dir + "/nofile.cf", "k") == "error: open " + dir + "/nofile.cf: No such file or directory");
    // A file that was copied in part: the library reads zeros for what is missing, and would find nothing.
    std::filesystem::copy_file(site.dir / "db", site.dir / "half");
    std::filesystem::resize_file(site.dir / "half", std::filesystem::file_size(site.dir / "half") - 100);
    CHECK(ask("h.cf", "dbpath = " + dir + "/half\nquery = select 1 from alias where name = '%s'\n") ==
          "error: connect to " + dir + "/half: the file is shorter than it says it is");
    // A file is no server that would have to be spared: it is tried again at once.
    CHECK(site.ask("sqlite:" + dir + "/g.cf", "k") == "error: connect to " + dir + "/none: unable to open database file");
    make_database(dir + "/none");
    CHECK(site.ask("sqlite:" + dir + "/g.cf", "k") == "1");
}

TEST_CASE("sources: what a reload finds in them counts from then on; who has the table already keeps it")
{
    Asking site;
    make_database((site.dir / "db").string());
    const std::string path = site.write("m.cf", "dbpath = " + (site.dir / "db").string() + "\nquery = SELECT 'old'\n");
    const std::string spec = "sqlite:" + path, around = "unionmap:{static:x, " + spec + "}";
    site.write("t", "key value\n");
    const auto old = site.tables.open(spec), plain = site.tables.open("texthash:" + (site.dir / "t").string()),
               missing = site.tables.open("sqlite:" + (site.dir / "later.cf").string());
    CHECK(site.ask(around, "key") == "x,old");
    site.write("m.cf", "dbpath = " + (site.dir / "db").string() + "\nquery = SELECT 'new'\n");
    site.write("later.cf", "dbpath = " + (site.dir / "db").string() + "\nquery = SELECT 'late'\n");
    site.tables.forget_settings();
    CHECK(site.ask(spec, "key") == "new");
    CHECK(site.ask(around, "key") == "x,new");
    CHECK(site.ask("sqlite:" + (site.dir / "later.cf").string(), "key") == "late");
    CHECK(text(run(site.loop, old->lookup("key"))) == "old");
    CHECK(site.tables.open("texthash:" + (site.dir / "t").string()) == plain);
    CHECK(missing->broken());
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

TEST_CASE("sqlite: a file that takes the place of another is read from the next question on, however busy the connection is")
{
    Asking site;
    const std::string path = (site.dir / "db").string();
    make_database(path);
    site.write("m.cf", "dbpath = " + path + "\nquery = SELECT target FROM alias WHERE name = '%s'\n");
    const std::string spec = "sqlite:" + (site.dir / "m.cf").string();
    CHECK(site.ask(spec, "user@example.com") == "user@mail.x.test");
    make_database(path + ".new");
    sqlite3* db = nullptr;
    REQUIRE(::sqlite3_open((path + ".new").c_str(), &db) == SQLITE_OK);
    REQUIRE(::sqlite3_exec(db, "update alias set target = 'new@x.test' where name = 'user@example.com'", nullptr, nullptr, nullptr) == SQLITE_OK);
    ::sqlite3_close(db);
    std::filesystem::rename(path + ".new", path);
    CHECK(site.ask(spec, "user@example.com") == "new@x.test");
    std::filesystem::rename(path, path + ".away");                    // between two names of a careless script
    CHECK(site.ask(spec, "user@example.com") == "new@x.test");
    CHECK(site.ask(spec, std::string("user@example.com\0", 17)) == "none");
}

namespace {

/// A server that takes connections, and says what `words` say; empty: it is silent until the client gives up.
struct Silent final : Connection {
    explicit Silent(std::string said) : words(std::move(said)) {}
    Result<std::vector<std::string>> ask(const Template&, std::string_view) override
    {
        if (words.empty())
            return Error{"no answer within 30 s"};
        return std::vector{words};
    }
    bool usable() const override { return !words.empty(); }
    std::string words;
};

}  // namespace

TEST_CASE("databases: a server that takes connections and does not answer is left alone for its rest, and the others are asked")
{
    for (const bool rests : {true, false}) {
        Asking site;
        std::map<std::string, std::atomic<int>> connects;
        connects["silent"] = connects["good"] = 0;
        site.write("m.cf", "query = SELECT '%s'\n");
        const auto config = SourceConfig::read((site.dir / "m.cf").string(), site.tables.site());
        const auto table = [&](std::vector<std::string> servers) {
            return std::make_shared<DatabaseTable>(
                "test:x", Flags{}, *Question::read("test:x", *config, "query", "", site.tables), std::move(servers),
                [&](const std::string& server) -> Result<std::unique_ptr<Connection>> {
                    ++connects[server];
                    return std::make_unique<Silent>(server == "good" ? "found" : "");
                },
                site.tables, DatabaseTable::Rest{.failing = std::chrono::seconds{rests ? 60 : 0}});
        };
        const auto both = table({"silent", "good"});
        for (int i = 0; i < 5; ++i)
            CHECK(text(run(site.loop, both->lookup("key"))) == "found");
        CHECK(connects["silent"] <= 1);
        CHECK(connects["good"] == 1);

        const auto alone = table({"silent"});
        connects["silent"] = 0;
        CHECK(text(run(site.loop, alone->lookup("key"))) == "error: silent: no answer within 30 s");
        CHECK(text(run(site.loop, alone->lookup("key")))
                  .starts_with(rests ? "error: silent: no answer within 30 s (asked again in " : "error: silent: no answer within 30 s"));
        CHECK(connects["silent"] == (rests ? 1 : 2));
    }
}

TEST_CASE("databases: servers on Unix sockets are asked before the others, whatever their order; retry_interval says how long one rests")
{
    for (int round = 0; round < 10; ++round) {                   // the order is random within each kind
        Asking site;
        std::vector<std::string> asked;
        site.write("m.cf", "query = SELECT '%s'\nretry_interval = 7\nidle_interval = 5\n");
        const auto config = SourceConfig::read((site.dir / "m.cf").string(), site.tables.site());
        const auto rest = rest_of_sql(*config);
        REQUIRE(rest);
        CHECK(rest->unreachable == std::chrono::seconds{7});
        CHECK(rest->failing == std::chrono::seconds{7});
        CHECK(rest->idle == std::chrono::seconds{5});
        DatabaseTable table(
            "test:x", Flags{}, *Question::read("test:x", *config, "query", "", site.tables), {"a:1", "inet:b", "unix:/c", "d", "unix:/e"},
            [&](const std::string& server) -> Result<std::unique_ptr<Connection>> {
                asked.push_back(server);
                return Error{"refused"};
            },
            site.tables, *rest);
        CHECK(text(run(site.loop, table.lookup("key"))).starts_with("error: connect to test server "));
        REQUIRE(asked.size() == 5);
        std::ranges::sort(asked.begin(), asked.begin() + 2);
        CHECK(asked[0] == "unix:/c");
        CHECK(asked[1] == "unix:/e");
        CHECK(site.sink->lines.size() == 5);
        CHECK(site.said("warning: connect to test server a:1: refused"));
    }
}

TEST_CASE("databases: a server rests twenty times as long as it was waited for, and is asked again at once where it refuses at once")
{
    for (const auto waits : {std::chrono::milliseconds{0}, std::chrono::milliseconds{100}}) {
        Asking site;
        int connects = 0;
        site.write("m.cf", "query = SELECT '%s'\nhosts =\n");
        const auto config = SourceConfig::read((site.dir / "m.cf").string(), site.tables.site());
        CHECK(sql_servers(*config) == std::vector<std::string>{"localhost"});
        DatabaseTable table(
            "test:x", Flags{}, *Question::read("test:x", *config, "query", "", site.tables), sql_servers(*config),
            [&](const std::string&) -> Result<std::unique_ptr<Connection>> {
                ++connects;
                std::this_thread::sleep_for(waits);
                return Error{"away"};
            },
            site.tables, DatabaseTable::Rest{.least = std::chrono::seconds{0}});
        CHECK(text(run(site.loop, table.lookup("key"))) == "error: connect to test server localhost: away");
        std::string again = text(run(site.loop, table.lookup("key")));
        if (waits.count() != 0) {
            CHECK(connects == 1);
            CHECK(again.starts_with("error: connect to test server localhost: away (asked again in "));
            continue;
        }
        for (int tries = 0; connects < 2 && tries < 200; ++tries) {
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
            again = text(run(site.loop, table.lookup("key")));
        }
        CHECK(connects == 2);
        CHECK(again == "error: connect to test server localhost: away");
    }
}
