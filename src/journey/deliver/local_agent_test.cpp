#include "async/run.hpp"
#include "deliver/local_agent.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sys/stat.h>
#include <unistd.h>

using namespace posthorn;
using namespace posthorn::deliver;

namespace {

/// Does everything here, as who runs the test, and remembers as whom it was asked.
struct LocalSpawner final : Spawner {
    std::vector<std::string> commands;
    int status = 0;
    awaitable<CommandEnd> run(CommandRun command) override
    {
        std::string text;
        for (auto piece = command.input(); piece && !piece->empty(); piece = command.input())
            text += *piece;
        input = text;
        environment = command.environment;
        commands.push_back(fmt::format("{}: {}", command.as.uid, fmt::join(command.words, "|")));
        CommandEnd end;
        end.status = status << 8;
        co_return end;
    }
    awaitable<Result<std::string>> as(Privileges who, std::function<std::string()> task, int) override
    {
        asked_as.insert(who.uid);
        co_return task();
    }
    std::string input;
    std::vector<std::string> environment;
    std::set<uid_t> asked_as;
};

struct Users final : Accounts {
    std::map<std::string, Account> known;
    bool away = false;
    awaitable<Result<std::optional<Account>>> by_name(std::string name) override
    {
        if (away)
            co_return Error{"no answer"};
        const auto found = known.find(name);
        co_return found == known.end() ? std::optional<Account>{} : std::optional<Account>(found->second);
    }
    awaitable<Result<std::optional<Account>>> by_uid(uid_t uid) override { co_return std::optional<Account>(Account{"owner", "/", "", {uid, 1}}); }
};

struct LocalWorld : tables::TestSite, LocalOutside {
    LocalWorld()
    {
        options.delimiter.characters = "+";
        options.myorigin = "here.test";
        options.default_rights = {777, 777};
        options.commands = options.files = {.alias = true, .forward = true};
        options.forward_path = "$home/.forward${recipient_delimiter}${extension}, $home/.forward";
        options.forward_filter = options.command_filter = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        options.home_mailbox = "mbox";
        options.lock.attempts = 1;
        options.strict_ownership = false;
        add("user");
        add("other");
    }
    void add(const std::string& name)
    {
        std::filesystem::create_directory(dir / name);
        users.known[name] = {name, (dir / name).string(), "/bin/sh", {::geteuid() == 0 ? 1000U : ::geteuid(), ::getegid()}};
    }

    awaitable<Result<std::vector<handoff::Route>>> route(std::string, std::vector<std::string> addresses) override
    {
        std::vector<handoff::Route> routes;
        for (const std::string& address : addresses) {
            routes.emplace_back().set_transport(address.ends_with("@here.test") ? "local" : "smtp");
            routes.back().set_address(address);
        }
        co_return routes;
    }
    awaitable<Result<std::string>> forward(handoff::Envelope envelope, std::string header, Message, std::string transport) override
    {
        if (full)
            co_return Error{"queue file system is full", "4.3.1"};
        std::string to;
        for (const auto& recipient : envelope.recipients())
            to += " " + recipient.address();
        original = envelope.recipients(0).original();
        forwarded.push_back(
            fmt::format("<{}>{}{}{}", envelope.sender(), to, transport.empty() ? "" : " by " + transport, header.empty() ? "" : " +"));
        if (constexpr std::string_view field = "Delivered-To: "; header.starts_with(field))
            delivered_to.insert(header.substr(field.size(), header.find('\r') - field.size()));
        co_return "QID" + std::to_string(forwarded.size());
    }

    /// "end status text", of the one recipient.
    std::string deliver(const std::string& address, std::string message = "Subject: x\r\n\r\nx\r\n")
    {
        LocalAsked asked;
        asked.aliases.push_back({tables::Maps("alias_maps", aliases, {}, tables), alias_owner});
        asked.mailbox_transports = tables::Maps("mailbox_transport_maps", transports, {}, tables);
        Teller teller({.relay = "local"}, observe::Log(sink, "postfix/local"), clock, {});
        LocalAgent agent(options, std::move(asked), users, *this, here, teller);
        handoff::DeliveryRequest request;
        request.mutable_envelope()->set_queue_id("4gDq8v1Yc0z3D");
        request.mutable_envelope()->set_sender("sender@x.test");
        request.mutable_envelope()->add_recipients()->set_address(address);
        request.set_probe(probe);
        request.mutable_content()->set_inline_octets(std::move(message));
        asio::io_context loop;
        const handoff::Verdicts verdicts = run(loop, agent.deliver(request, {}));
        REQUIRE(verdicts.verdicts_size() == 1);
        const handoff::Verdict& verdict = verdicts.verdicts(0);
        return fmt::format("{} {} {}", static_cast<int>(verdict.outcome()), verdict.status(), verdict.text());
    }
    std::string content(const std::string& file) const
    {
        std::ifstream in(dir / file);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void put(const std::string& file, std::string_view text) const { std::ofstream(dir / file) << text; }

    LocalOptions options;
    std::string aliases, transports;
    std::optional<Privileges> alias_owner;
    Users users;
    LocalSpawner here;
    std::vector<std::string> forwarded;
    std::string original;         // of the first recipient of the last of them
    std::set<std::string> delivered_to;                             // of what was forwarded
    bool full = false, probe = false;
};

constexpr const char* to_mailbox = "0 2.0.0 delivered to mailbox";

}  // namespace

TEST_CASE("local: a user has a mailbox, also with an extension and whatever the case")
{
    LocalWorld world;
    CHECK(world.deliver("User+ext@here.test") == to_mailbox);
    CHECK(world.content("user/mbox").find("\nDelivered-To: User+ext@here.test\n") != std::string::npos);
    CHECK(world.here.asked_as == std::set<uid_t>{world.users.known["user"].ids.uid});
    CHECK(world.deliver("nobody.here@here.test") == "2 5.1.1 unknown user: \"nobody.here\"");
    world.users.away = true;
    CHECK(world.deliver("user@here.test").starts_with("1 4.3.0 user lookup problem"));
}

TEST_CASE("local: an alias leads to users, commands, files and other machines, each with its line")
{
    LocalWorld world;
    world.aliases = "inline:{{all = user, far@x.test, \"|/bin/cmd -a\", other}}";
    CHECK(world.deliver("all@here.test").starts_with("0 2.0.0 "));
    CHECK(world.content("user/mbox").find("Subject: x") != std::string::npos);
    CHECK(world.content("other/mbox").find("Subject: x") != std::string::npos);
    CHECK(world.forwarded == std::vector<std::string>{"<sender@x.test> far@x.test +"});
    CHECK(world.here.commands == std::vector<std::string>{"777: /bin/cmd|-a"});
    CHECK(world.here.input.find("Delivered-To: all@here.test\n") != std::string::npos);
    for (const char* line : {"(delivered to mailbox)", "(forwarded as QID1)", "(delivered to command: /bin/cmd -a)"})
        CHECK_MESSAGE(world.said(line), line);
    world.alias_owner = Privileges{555, 5};
    world.here.commands.clear();
    CHECK(world.deliver("all@here.test").starts_with("0 "));
    CHECK(world.here.commands == std::vector<std::string>{"555: /bin/cmd|-a"});
}

TEST_CASE("local: where one place fails the recipient has that end, and a deferral before a failure")
{
    LocalWorld world;
    world.aliases = "inline:{{all = user, missing, \"|/bin/cmd\"}}";
    CHECK(world.deliver("all@here.test") == "2 5.1.1 unknown user: \"missing\"");
    CHECK(world.content("user/mbox").find("Subject: x") != std::string::npos);
    world.here.status = 75;
    CHECK(world.deliver("all@here.test") == "1 4.3.0 temporary failure");
}

TEST_CASE("local: owner-NAME becomes the sender of what NAME forwards, and expands where asked to")
{
    LocalWorld world;
    world.aliases = "inline:{{list = a@x.test}, {owner-list = boss@x.test}, {plain = b@x.test}}";
    CHECK(world.deliver("list@here.test") == "0 2.0.0 forwarded as QID1");
    world.options.expand_owner = true;
    CHECK(world.deliver("list@here.test") == "0 2.0.0 forwarded as QID2");
    CHECK(world.deliver("plain@here.test") == "0 2.0.0 forwarded as QID3");
    CHECK(world.forwarded == std::vector<std::string>{"<owner-list@here.test> a@x.test +", "<boss@x.test> a@x.test +", "<sender@x.test> b@x.test +"});
}

TEST_CASE("local: owners have owners where an alias says so; with owner_request_special = no nobody has one")
{
    LocalWorld world;
    world.aliases = "inline:{{list = a@x.test}, {owner-list = boss@x.test}, {owner-owner-list = root@x.test}, {list-request = q@x.test}, "
                    "{owner-list-request = qb@x.test}}";
    for (const bool special : {true, false}) {
        world.options.owner_special = special;
        world.deliver("list@here.test");
        world.deliver("owner-list@here.test");
        world.deliver("list-request@here.test");
        CHECK(world.original == (special ? "" : "list-request@here.test"));
        CHECK(world.forwarded ==
              (special ? std::vector<std::string>{"<owner-list@here.test> a@x.test +", "<owner-owner-list@here.test> boss@x.test +",
                                                  "<owner-list-request@here.test> q@x.test +"}
                       : std::vector<std::string>{"<sender@x.test> a@x.test +", "<sender@x.test> boss@x.test +", "<sender@x.test> q@x.test +"}));
        world.forwarded.clear();
    }
}

TEST_CASE("local: an address that several aliases lead to gets one message, of the first of them, whoever owns the others")
{
    LocalWorld world;
    world.aliases = "inline:{{all = first, second, a@x.test}, {first = a@x.test, b@x.test}, {second = b@x.test}, {owner-first = boss@x.test}}";
    world.deliver("all@here.test");
    CHECK(world.forwarded == std::vector<std::string>{"<owner-first@here.test> a@x.test b@x.test +"});
}

TEST_CASE("local: frozen_delivered_to = no names the last address with an alias or a .forward in Delivered-To:, else it is the recipient")
{
    for (const bool frozen : {true, false}) {
        CAPTURE(frozen);
        LocalWorld world;
        world.options.frozen_delivered = frozen;
        world.aliases = "inline:{{list = team, far@x.test}, {team = other, user, \"|/bin/cmd\", away@x.test}}";
        world.put("user/.forward", "home@x.test\n");
        world.deliver("list@here.test");
        std::vector<std::string> expected{"list@here.test", "team@here.test", "user@here.test"};
        if (frozen)
            expected = {"list@here.test"};
        CHECK(std::vector<std::string>(world.delivered_to.begin(), world.delivered_to.end()) == expected);
        CHECK(world.content("other/mbox").find(fmt::format("Delivered-To: {}@here.test\n", frozen ? "list" : "team")) != std::string::npos);
        CHECK(world.here.input.find(fmt::format("Delivered-To: {}@here.test\n", frozen ? "list" : "team")) != std::string::npos);
        // What has been here by way of the list comes back to it.
        world.aliases = "inline:{{list = team}, {team = far@x.test}}";
        const std::string back = fmt::format("Delivered-To: {}@here.test\r\n\r\nx\r\n", frozen ? "list" : "team");
        CHECK(world.deliver("list@here.test", back) == fmt::format("2 5.4.6 mail forwarding loop for {}@here.test", frozen ? "list" : "team"));
    }
}

TEST_CASE("local: aliases that lead back to themselves end at the mailbox, or at nobody")
{
    LocalWorld world;
    world.aliases = "inline:{{user = user, other}, {a = b}, {b = a}}";
    CHECK(world.deliver("user@here.test") == to_mailbox);
    CHECK(world.content("user/mbox").find("Subject: x") != std::string::npos);
    CHECK(world.content("other/mbox").find("Subject: x") != std::string::npos);
    CHECK(world.deliver("a@here.test") == "2 5.1.1 unknown user: \"a\"");
    CHECK(world.deliver("user@here.test", "Delivered-To: user@here.test\r\n\r\nx\r\n") == "2 5.4.6 mail forwarding loop for user@here.test");
}

TEST_CASE("local: an :include: file leads where its lines do, with its owner's rights, and to no command unless allowed")
{
    LocalWorld world;
    world.put("list", "# a list\nfar@x.test\nuser\n");
    world.aliases = "inline:{{list = :include:" + (world.dir / "list").string() + "}, {gone = :include:/nonexistent/list}}";
    CHECK(world.deliver("list@here.test").starts_with("0 "));
    CHECK(world.forwarded.size() == 1);
    CHECK(world.deliver("gone@here.test") == "1 4.3.5 mail system configuration error");
    CHECK(world.said(":include:/nonexistent/list: no such file"));
    world.put("list", "\"|/bin/cmd\"\n");
    CHECK(world.deliver("list@here.test") == "2 5.7.1 mail to command is restricted");
    CHECK(world.here.commands.empty());
    world.options.commands.include = true;
    CHECK(world.deliver("list@here.test") == "0 2.0.0 delivered to command: /bin/cmd");
    CHECK(world.here.commands.front() == fmt::format("{}: /bin/cmd", ::geteuid() == 0 ? 777 : ::geteuid()));
    ::chmod((world.dir / "list").c_str(), 0666);
    CHECK(world.deliver("list@here.test") == "1 4.3.5 mail system configuration error");
}

TEST_CASE("local: rights that somebody has do not change by what an :include: file of others says")
{
    LocalWorld world;
    world.options.commands.include = true;
    world.put("list", "\"|/bin/cmd\"\n");                       // its owner is who runs the test
    const std::string include = ":include:" + (world.dir / "list").string();
    world.put("user/.forward", include + "\n");
    CHECK(world.deliver("user@here.test") == "0 2.0.0 delivered to command: /bin/cmd");
    world.aliases = "inline:{{list = " + include + "}}";
    world.alias_owner = Privileges{555, 5};
    CHECK(world.deliver("list@here.test") == "0 2.0.0 delivered to command: /bin/cmd");
    CHECK(world.here.commands == std::vector<std::string>{fmt::format("{}: /bin/cmd", world.users.known["user"].ids.uid), "555: /bin/cmd"});
}

TEST_CASE("local: what one user cannot deliver to is not taken from another by naming it first")
{
    LocalWorld world;
    const std::string file = (world.dir / "box").string();
    world.users.known["other"].ids.uid = world.users.known["user"].ids.uid + 1;
    world.put("user/.forward", file + "\n");
    world.put("other/.forward", file + "\n");
    // Owned by root or by who runs the test, both are read.
    for (const char* name : {"user", "other"})
        if (::geteuid() == 0)
            REQUIRE(::chown((world.dir / name / ".forward").c_str(), 0, 0) == 0);
        else
            world.users.known["other"].ids.uid = world.users.known["user"].ids.uid;
    world.aliases = "inline:{{both = user, other}}";
    CHECK(world.deliver("both@here.test") == "0 2.0.0 delivered to file: " + file);
    std::size_t copies = 0;
    const std::string text = world.content("box");
    for (std::size_t at = 0; (at = text.find("Subject: x", at)) != text.npos; ++at)
        ++copies;
    CHECK(copies == (::geteuid() == 0 ? 2 : 1));
}

TEST_CASE("local: each extension of a user has its own .forward, also where one alias leads to several")
{
    LocalWorld world;
    world.put("user/.forward+a", "a@x.test\n");
    world.put("user/.forward+b", "b@x.test\n");
    world.aliases = "inline:{{both = user+a, user+b, user+a}}";
    CHECK(world.deliver("both@here.test") == "0 2.0.0 forwarded as QID1");
    CHECK(world.forwarded == std::vector<std::string>{"<sender@x.test> a@x.test b@x.test +"});
}

TEST_CASE("local: a backslash from outside is no way around aliases and .forward")
{
    LocalWorld world;
    world.put("user/.forward", "far@x.test\n");
    CHECK(world.deliver("\\user@here.test") == "2 5.1.1 unknown user: \"\\user\"");
    CHECK(world.forwarded.empty());
    CHECK_FALSE(std::filesystem::exists(world.dir / "user/mbox"));
}

TEST_CASE("local: where it cannot be known whether an alias has an owner, its mail waits")
{
    LocalWorld world;
    world.aliases = "inline:{list=a@x.test} texthash:/nonexistent/aliases";
    CHECK(world.deliver("list@here.test") == "1 4.3.0 alias database unavailable");
    CHECK(world.forwarded.empty());
}

TEST_CASE("local: a .forward outvotes the mailbox, keeps a copy with \\user, and one for an extension comes first")
{
    LocalWorld world;
    world.put("user/.forward", "far@x.test, \\user\n");
    CHECK(world.deliver("user@here.test").starts_with("0 "));
    CHECK(world.forwarded == std::vector<std::string>{"<sender@x.test> far@x.test +"});
    CHECK(world.content("user/mbox").find("Subject: x") != std::string::npos);
    world.put("user/.forward+ext", "\"|/bin/cmd $EXTENSION\"\n");
    CHECK(world.deliver("user+ext@here.test") == "0 2.0.0 delivered to command: /bin/cmd $EXTENSION");
    CHECK(world.here.commands == std::vector<std::string>{fmt::format("{}: /bin/sh|-c|/bin/cmd $EXTENSION", world.users.known["user"].ids.uid)});
    CHECK(std::ranges::find(world.here.environment, "EXTENSION=ext") != world.here.environment.end());
    // To oneself, by name: the mailbox.
    world.put("other/.forward", "other\n");
    CHECK(world.deliver("other@here.test") == to_mailbox);
    world.put("other/.forward", "@@@\n");
    CHECK(world.deliver("other@here.test") == "1 4.3.5 mail system configuration error");
    world.put("other/.forward", "# nothing\n");
    CHECK(world.deliver("other@here.test") == to_mailbox);
    world.put("other/.forward", "far@x.test\n");
    ::chmod((world.dir / "other/.forward").c_str(), 0666);
    CHECK(world.deliver("other@here.test") == to_mailbox);
    CHECK(world.said("is world writable"));
    CHECK(world.forwarded.size() == 1);
}

TEST_CASE("local: root has a mailbox, written by root; the commands and files that root names are default_privs'")
{
    LocalWorld world;
    world.add("root");
    world.users.known["root"].ids = {0, 0};
    CHECK(world.deliver("root@here.test") == to_mailbox);
    CHECK(world.content("root/mbox").find("Subject: x") != std::string::npos);
    CHECK(world.here.asked_as == std::set<uid_t>{0});
    world.here.asked_as.clear();
    const std::string file = (world.dir / "file").string(), list = (world.dir / "list").string();
    world.put("list", "\"|/bin/included\"\n");
    world.options.commands.include = true;
    world.put("root/.forward", "\"|/bin/cmd\", " + file + ", \\root, :include:" + list + "\n");
    if (::geteuid() == 0) {                                        // else the .forward is not root's, and is not read
        CHECK(world.deliver("root@here.test").starts_with("0 "));
        CHECK(world.here.commands == std::vector<std::string>{"777: /bin/cmd", "777: /bin/included"});
        CHECK(world.here.asked_as == std::set<uid_t>{0, 777});      // the .forward and the mailbox; the file and the list
        CHECK(world.content("file").find("Subject: x") != std::string::npos);
        CHECK(std::filesystem::remove(world.dir / "root/.forward"));
    }
    world.here.commands.clear();
    world.options.mailbox_command = "/bin/own";
    CHECK(world.deliver("root@here.test") == "0 2.0.0 delivered to command: /bin/own");
    CHECK(world.here.commands == std::vector<std::string>{"777: /bin/own"});
    // And where those are root's, nothing of it is done.
    world.options.default_rights = {0, 0};
    world.here.commands.clear();
    CHECK(world.deliver("root@here.test") == "1 4.3.5 mail system configuration error");
    world.aliases = "inline:{{named = " + file + "}}";
    CHECK(world.deliver("named@here.test") == "1 4.3.5 mail system configuration error");
    CHECK(world.here.commands.empty());
}

TEST_CASE("local: mailbox_transport, mailbox_command, fallback_transport and luser_relay, in their places")
{
    LocalWorld world;
    world.options.luser_relay = "$user+$local@relay.test";
    CHECK(world.deliver("who@here.test") == "0 2.0.0 forwarded as QID1");
    world.options.fallback_transport = "smtp:fallback.test";
    CHECK(world.deliver("who@here.test") == "0 2.0.0 passed to transport=smtp:fallback.test as QID2");
    world.options.mailbox_command = "/bin/lda -d";
    CHECK(world.deliver("user@here.test") == "0 2.0.0 delivered to command: /bin/lda -d");
    world.transports = "inline:{user=lmtp:unix:private/lda}";
    CHECK(world.deliver("user@here.test") == "0 2.0.0 passed to transport=lmtp:unix:private/lda as QID3");
    CHECK(world.deliver("other@here.test") == "0 2.0.0 delivered to command: /bin/lda -d");
    world.aliases = "inline:{web=user}";
    CHECK(world.deliver("web@here.test") == "0 2.0.0 passed to transport=lmtp:unix:private/lda as QID4");
    CHECK(world.forwarded == std::vector<std::string>{"<sender@x.test> who+who@relay.test +", "<sender@x.test> who@here.test by smtp:fallback.test",
                                                      "<sender@x.test> user@here.test by lmtp:unix:private/lda",
                                                      "<sender@x.test> user@here.test by lmtp:unix:private/lda"});
    world.full = true;
    CHECK(world.deliver("user@here.test") == "1 4.3.1 queue file system is full");
}

TEST_CASE("local: an alias table that cannot answer defers; a question about an address delivers nothing")
{
    LocalWorld world;
    world.aliases = "texthash:/nonexistent/aliases";
    CHECK(world.deliver("user@here.test") == "1 4.3.0 alias database unavailable");
    world.aliases = "inline:{{all = far@x.test}, {cmd = \"|/bin/cmd\"}}";
    world.probe = true;
    CHECK(world.deliver("user@here.test") == "0 2.0.0 delivers to mailbox");
    CHECK(world.deliver("cmd@here.test") == "0 2.0.0 delivers to command: /bin/cmd");
    CHECK(world.deliver("all@here.test") == "0 2.0.0 forwards to far@x.test");
    CHECK(world.deliver("missing@here.test") == "4 5.1.1 unknown user: \"missing\"");
    CHECK(world.forwarded.empty());
    CHECK(world.here.commands.empty());
    CHECK_FALSE(std::filesystem::exists(world.dir / "user/mbox"));
}
