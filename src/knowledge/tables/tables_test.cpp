#include "tables/lookups.hpp"
#include "tables/testing.hpp"
#include "tables/unix.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <thread>

using namespace posthorn;
using namespace posthorn::tables;

TEST_CASE("texthash: a key has the value of its line and of the lines that continue it")
{
    TestSite bench;
    const auto file = bench.write("a", "# comment\nKey value one\n  continued\n# inside\n more\n\"quoted key\"@x val\nlast end");
    const std::string spec = "texthash:" + file;
    CHECK(bench.get(spec, "key") == "value one  continued more");
    CHECK(bench.get(spec, "KEY") == "value one  continued more");
    CHECK(bench.get(spec, "\"quoted key\"@x") == "val");
    CHECK(bench.get(spec, "last") == "end");
    CHECK(bench.get(spec, "missing") == "none");
    CHECK(bench.sink->lines.empty());
}

TEST_CASE("texthash: what is wrong in a line costs that line only, and is said with its number")
{
    TestSite bench;
    const auto file = bench.write("a", " lead ws\nnovalue\nalias: x\nkey 1\nkey 2\n\"un val\n\xff\xfe bad\nafter ok\n");
    const std::string spec = "texthash:" + file;
    CHECK(bench.get(spec, "after") == "ok");
    CHECK(bench.get(spec, "key") == "1");
    CHECK(bench.get(spec, "lead") == "none");
    CHECK(bench.said("warning: " + file + ": logical line must not start with whitespace: \" lead ws\""));
    CHECK(bench.said("warning: " + file + ", line 2: expected format: key whitespace value -- ignoring this line"));
    CHECK(bench.said("warning: " + file + ", line 3: record is in \"key: value\" format; is this an alias file?"));
    CHECK(bench.said("warning: " + file + ", line 5: duplicate entry: \"key\""));
    CHECK(bench.said("warning: " + file + ", line 6: unbalanced '\"' in '\"un val' -- ignoring this line"));
    CHECK(bench.said("line 7: non-UTF-8 input"));
}

TEST_CASE("table: one that cannot be opened is an error that passes, never 'not there', and recovers by itself")
{
    TestSite bench;
    const std::string path = (bench.dir / "later").string();
    const std::string spec = "texthash:" + path;
    CHECK(bench.get(spec, "k") == "error: open database " + path + ": No such file or directory");
    CHECK(bench.tables.open(spec)->find("k").error().status() == "4.3.0");
    bench.write("later", "k v\n");
    bench.clock.advance(std::chrono::seconds{2});
    CHECK(bench.get(spec, "k") == "v");
}

TEST_CASE("table: a changed file is taken over without restart; a vanished one leaves the last version in force")
{
    TestSite bench;
    const auto file = bench.write("a", "k one\n");
    const std::string spec = "texthash:" + file;
    CHECK(bench.get(spec, "k") == "one");
    bench.write("a", "k two\nlonger\n");
    CHECK(bench.get(spec, "k") == "one");                        // looked at once a second
    bench.clock.advance(std::chrono::seconds{2});
    CHECK(bench.get(spec, "k") == "two");
    std::filesystem::remove(file);
    for (int second = 0; second < 5; ++second) {
        bench.clock.advance(std::chrono::seconds{2});
        CHECK(bench.get(spec, "k") == "two");
    }
    CHECK(std::ranges::count_if(bench.sink->lines, [](auto& line) { return line.find("stays in force") != line.npos; }) == 1);
}

TEST_CASE("table: a big file is parsed beside the loop while the old version answers")
{
    TestSite bench;
    const auto file = bench.write("a", "k one\n");
    const std::string spec = "texthash:" + file;
    CHECK(bench.get(spec, "k") == "one");
    std::string big = "k two\n";
    while (big.size() < 2 * load_inline_octets)
        big += fmt::format("key{} value\n", big.size());
    bench.write("a", big);
    bench.clock.advance(std::chrono::seconds{2});
    const std::string during = bench.get(spec, "k");
    CHECK((during == "one" || during == "two"));
    for (int wait = 0; wait < 500 && bench.get(spec, "k") == "one"; ++wait)
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    CHECK(bench.get(spec, "k") == "two");
}

TEST_CASE("table: a file is read whole by two tables at once, whose descriptors share an offset")
{
    TestSite site;
    const Fd file{::open(site.write("t", "key value\n").c_str(), O_RDONLY | O_CLOEXEC)};
    const Fd copy{::dup(file.get())};
    REQUIRE(::lseek(copy.get(), 5, SEEK_SET) == 5);
    CHECK(read_all(file.get()).value() == "key value\n");
    CHECK(::lseek(copy.get(), 0, SEEK_CUR) == 5);
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const Fd out(ends[0]);
    {
        const Fd in(ends[1]);
        REQUIRE(::write(in.get(), "piped", 5) == 5);
    }
    CHECK(read_all(out.get()).value() == "piped");
}

TEST_CASE("unix: users and groups by name, read from the files; other sources of nsswitch.conf are asked for what these do not have")
{
    TestSite site;
    site.write("passwd", "root:x:0:0:root:/root:/bin/sh\nroot:x:1:1:second:/:/bin/sh\n+::::::\nbroken\nAdmin:x:5:5::/:/bin/sh\n");
    site.write("group", "staff:x:50:ann,bob\nempty:x:51:\n");
    const auto open = [&](const std::string& name, Flags flags = {}) {
        return open_unix_of(site.dir.string(), "unix:" + name, name, flags, site.tables);
    };
    const auto users = open("passwd.byname"), groups = open("group.byname");
    const auto get = [](const std::shared_ptr<Table>& table, std::string_view key) {
        const auto answer = table->find(key);
        return answer ? answer->value_or("none") : "error: " + answer.error().what();
    };
    CHECK(get(users, "root") == "root:x:0:0:root:/root:/bin/sh");
    CHECK(get(users, "ROOT") == "root:x:0:0:root:/root:/bin/sh");     // as Postfix looks it up
    CHECK(get(open("passwd.byname", {.fold = false}), "ROOT") == "none");
    CHECK(get(users, "nobody-at-all") == "none");
    CHECK(get(users, "broken") == "none");
    CHECK(get(users, "+") == "none");
    CHECK(get(users, std::string_view("root\0x", 6)) == "none");
    CHECK(get(groups, "staff") == "staff:x:50:ann,bob");
    CHECK(get(groups, "empty") == "empty:x:51:");
    CHECK(get(open("hosts.byname"), "x") == "error: unknown table: unix:hosts.byname");
    CHECK(files_of("proxy:unix:passwd.byname") == std::vector<std::string>{"/etc/passwd", "/etc/nsswitch.conf"});

    // "daemon" is in this host's file and not in ours: the C library finds it where a further source is named.
    CHECK(get(users, "daemon") == "none");
    site.write("nsswitch.conf", "# passwd: sss\npasswd:\tfiles systemd [NOTFOUND=return]\ngroup: files sss\n");
    CHECK(get(open("passwd.byname"), "daemon") == "none");
    CHECK(get(open("group.byname"), "daemon").starts_with("daemon:"));
    site.write("nsswitch.conf", "passwd: files sss\n");
    CHECK(get(open("passwd.byname"), "daemon").starts_with("daemon:"));
    CHECK(get(open("passwd.byname"), "nobody-at-all") == "none");

    // Which sources there are is not known: neither is who there is. What the file has is.
    std::filesystem::remove(site.dir / "nsswitch.conf");
    std::filesystem::create_directory(site.dir / "nsswitch.conf");
    CHECK(get(open("passwd.byname"), "nobody-at-all") == "error: open " + (site.dir / "nsswitch.conf").string() + ": Is a directory");
    CHECK(get(open("passwd.byname"), "root").starts_with("root:"));

    site.write("passwd", "new:x:7:7::/:/bin/sh\n");
    site.clock.advance(std::chrono::seconds{2});
    std::filesystem::last_write_time(site.dir / "passwd", std::filesystem::file_time_type::clock::now() - std::chrono::hours{1});
    CHECK(get(users, "new") == "new:x:7:7::/:/bin/sh");
    std::filesystem::remove(site.dir / "passwd");
    CHECK(get(open("passwd.byname"), "root").starts_with("error: open "));
}

TEST_CASE("inline and static: the forms of main.cf")
{
    TestSite bench;
    CHECK(bench.get("inline:{x=1, {y = 2 3}}", "y") == "2 3");
    CHECK(bench.get("inline:{x=1, {y = 2 3}}", "X") == "1");
    CHECK(bench.get("inline:{x=1}", "z") == "none");
    CHECK(bench.get("static:{ a b }", "anything") == "a b");
    CHECK(bench.get("static:{x", "anything") == "error: bad static:name syntax: missing '}' in \"{x\"");
    CHECK(bench.get("static:v", "") == "v");
    CHECK(bench.get("proxy:static:v", "") == "v");
}

TEST_CASE("tables: a specification that means nothing is named in the error")
{
    TestSite bench;
    CHECK(bench.get("foo:x", "k") == "error: unsupported dictionary type: foo");
    CHECK(bench.get("static:", "k") == "error: open dictionary: expecting \"type:name\" form instead of \"static:\"");
    CHECK(bench.get("inline:foo", "k") == "error: bad syntax: \"inline:foo\"; need \"inline:{name=value...}\"");
    CHECK(bench.get("inline:{x, y=1}", "k") == "error: missing '=' after attribute name: \"inline:{x, y=1}\"; need \"inline:{name=value...}\"");
    CHECK(bench.get("inline:{}", "k") == "error: bad syntax: \"inline:{}\"; need \"inline:{name=value...}\"");
}

TEST_CASE("fold: letters beyond ASCII compare without case where UTF-8 is on")
{
    CHECK(fold_key("STRASSE", true) == "strasse");
    CHECK(fold_key("J\xc3\x96RG", true) == "j\xc3\xb6rg");
    CHECK(fold_key("J\xc3\x96RG", false) == "j\xc3\x96rg");
    TestSite bench;
    CHECK(bench.get("inline:{j\xc3\xb6rg=1}", "J\xc3\x96RG") == "1");
    CHECK(bench.get("static:x", "\xff") == "none");
    CHECK(bench.get("inline:{a=1}", "\xff") == "none");
}

namespace {

/// Answers after a turn of the loop, as a server would.
class Distant final : public Table {
public:
    using Table::Table;
    bool in_memory() const override { return false; }
    Answer find(std::string_view) override { return Error{"ask lookup"}; }
    awaitable<Answer> lookup(std::string key) override
    {
        ++asked;
        most_under_way = std::max(most_under_way, ++under_way);
        co_await asio::post(co_await asio::this_coro::executor, use_awaitable);
        --under_way;
        co_return key == "a" ? Answer{"b"} : key == "b" ? Answer{"c"} : Answer{std::nullopt};
    }
    int asked = 0, under_way = 0, most_under_way = 0;
};

}  // namespace

TEST_CASE("settle: a decision over distant tables is made again until all it asks is known, each key asked once")
{
    Distant table{"distant:x"};
    asio::io_context loop;
    Result<std::string> result = Error{"none"};
    auto decide = [&table](Lookups& lookups) -> Result<std::string> {
        std::string at = "a";
        for (;;) {
            TRY(const auto next, lookups.find(table, at));
            if (!next)
                return at;
            at = *next;
        }
    };
    asio::co_spawn(loop, settle(decide), [&](std::exception_ptr, Result<std::string> got) { result = std::move(got); });
    loop.run();
    REQUIRE(result);
    CHECK(*result == "c");
    CHECK(table.asked == 3);
}

TEST_CASE("settle: what one round wants is asked at the same time, each key once, and no more than so many at once")
{
    Distant table{"distant:x"};
    asio::io_context loop;
    Result<int> result = Error{"none"};
    auto decide = [&table](Lookups& lookups) -> Result<int> {
        int there = 0;
        for (int i = 0; i < 1000; ++i)
            for (const std::string& key : {std::string("a"), fmt::format("n{}", i)})
                if (const auto answer = lookups.find(table, key))
                    there += answer->has_value() ? 1 : 0;
        return there;
    };
    asio::co_spawn(loop, settle(decide), [&](std::exception_ptr, Result<int> got) { result = std::move(got); });
    loop.run();
    REQUIRE(result);
    CHECK(*result == 1000);
    CHECK(table.asked == 1001);
    CHECK(table.most_under_way == static_cast<int>(fetched_at_once));
}
