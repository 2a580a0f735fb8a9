#include "sasl/dovecot.hpp"

#include "base/strings.hpp"
#include "observe/testing.hpp"
#include "sasl/dovecot_line.hpp"
#include "sasl/testing.hpp"

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <algorithm>

using namespace posthorn;
using namespace posthorn::sasl;
using namespace std::string_literals;
using Kind = DovecotLine::Kind;

TEST_CASE("dovecot: lines of the handshake, with what a mechanism's flags say")
{
    CHECK(parse_dovecot_line("VERSION\t1\t2").major == 1);
    CHECK(parse_dovecot_line("SPID\t17").kind == Kind::spid);
    CHECK(parse_dovecot_line("CUID\t17").kind == Kind::other);
    CHECK(parse_dovecot_line("COOKIE\tabc").kind == Kind::other);
    CHECK(parse_dovecot_line("DONE").kind == Kind::done);
    CHECK(parse_dovecot_line("").kind == Kind::other);
    const auto has = [](std::string_view line) { return parse_dovecot_line(line).has; };
    using enum Property;
    CHECK(has("MECH\tPLAIN\tplaintext") == Properties{no_active, no_dictionary, no_anonymous});
    CHECK(has("MECH\tANONYMOUS\tanonymous") == Properties{no_plaintext, no_active, no_dictionary});
    CHECK(has("MECH\tDIGEST-MD5\tdictionary\tactive\tmutual-auth") == Properties{no_plaintext, no_anonymous, mutual_auth});
    CHECK(has("MECH\tX\tforward-secrecy").includes({forward_secrecy, no_plaintext}));
    CHECK(parse_dovecot_line("MECH\tplain\tplaintext").name == "PLAIN");
    CHECK(parse_dovecot_line("MECH\tX\tprivate").is_private);
    for (const std::string_view wrong : {"MECH", "MECH\t", "MECH\ta b", "VERSION", "VERSION\t1", "VERSION\tx\t1", "OK", "OK\tx", "OK\t1",
                                         "OK\t1\tx=y", "CONT\t1", "FAIL\t99999999999"}) {
        CAPTURE(wrong);
        CHECK(parse_dovecot_line(wrong).kind == Kind::wrong);
    }
}

TEST_CASE("dovecot: answers, and what is asked")
{
    const auto more = parse_dovecot_line("CONT\t7\tVXNlcm5hbWU6");
    CHECK(more.id == 7);
    CHECK(more.answer.kind == Answer::Kind::more);
    CHECK(more.answer.text == "VXNlcm5hbWU6");
    const auto yes = parse_dovecot_line("OK\t7\tuser=a\001tb@x.test\tnologin");
    CHECK(yes.answer.kind == Answer::Kind::accepted);
    CHECK(yes.answer.username == "a\tb@x.test");
    const auto no = parse_dovecot_line("FAIL\t7\tuser=joe\treason=Account is locked\tcode=user_disabled");
    CHECK(no.answer.kind == Answer::Kind::refused);
    CHECK(no.answer.text == "Account is locked");
    CHECK(no.answer.username == "joe");
    CHECK(parse_dovecot_line("FAIL\t7\ttemp").answer.kind == Answer::Kind::later);
    Question question;
    question.mechanism = "PLAIN";
    question.initial = "AGEAYg==";
    question.client_address = "192.0.2.1";
    question.server_address = "192.0.2.2";
    question.client_port = 1234;
    question.server_port = 25;
    question.secured = question.certificate = true;
    CHECK(dovecot_question(5, question, "smtp") ==
          "AUTH\t5\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.2\trip=192.0.2.1\tlport=25\trport=1234\tsecured\tvalid-client-cert\tresp=AGEAYg==\n");
    question = {};
    question.mechanism = "X\tresp=y\nAUTH";
    question.initial = "a\tuser=root\n";
    const std::string hostile = dovecot_question(5, question, "smtp");
    CHECK(hostile == "AUTH\t5\tX\001tresp=y\001nAUTH\tservice=smtp\tnologin\tresp=a\001tuser=root\001n\n");
    CHECK(dovecot_response(5, "a\nb") == "CONT\t5\ta\001nb\n");
    const std::string all = "\0\001\t\n\rx"s;
    CHECK(escape_dovecot(all) == "\0010\0011\001t\001n\001rx");
    CHECK(unescape_dovecot(escape_dovecot(all)) == all);
    CHECK(unescape_dovecot("a\001") == "a\001");
    CHECK(unescape_dovecot("a\001z") == "a\001z");
}

namespace {

struct Line {
    Line()
    {
        dovecot = std::make_unique<Dovecot>(loop.get_executor(), server.connector(loop), settings(),
                                            [this](std::string text) { warnings.push_back(text); });
    }
    ~Line()
    {
        dovecot.reset();
        settle();
    }
    static Dovecot::Settings settings()
    {
        return {.service = "smtp",
                .path = "private/auth",
                .patience = std::chrono::milliseconds(2000),
                .exchange_patience = std::chrono::milliseconds(500)};
    }
    void settle()
    {
        do
            loop.restart();
        while (loop.poll() > 0);
    }
    template <class T>
    static awaitable<void> store(awaitable<T> what, std::optional<T>* into)
    {
        into->emplace(co_await std::move(what));
    }
    template <class T>
    T run(awaitable<T> what)
    {
        std::optional<T> result;
        asio::co_spawn(loop, store(std::move(what), &result), asio::detached);
        loop.restart();
        while (!result && loop.run_one_for(std::chrono::seconds(10)) != 0)
            ;
        if (!result)
            throw std::runtime_error("it gave no result");
        return *std::move(result);
    }
    awaitable<Answer> ask(std::string mechanism, std::optional<std::string> initial, Exchange* exchange)
    {
        Question question;
        question.mechanism = std::move(mechanism);
        question.initial = std::move(initial);
        co_return co_await exchange->begin(std::move(question));
    }

    asio::io_context loop{1};
    testing::FakeDovecot server;
    std::vector<std::string> warnings;
    std::unique_ptr<Dovecot> dovecot;
};

}  // namespace

TEST_CASE("dovecot: one connection tells what is offered and serves exchanges side by side, in whatever order they are answered")
{
    Line line;
    const auto offers = line.run(line.dovecot->offers());
    REQUIRE(offers);
    REQUIRE(offers->size() == 3);
    CHECK((*offers)[0].name == "PLAIN");
    CHECK((*offers)[2].name == "CRAM-MD5");
    auto slow = line.dovecot->exchange(), quick = line.dovecot->exchange(), abandoned = line.dovecot->exchange();
    std::optional<Answer> late;
    line.server.hold = "2";
    asio::co_spawn(line.loop, line.ask("LOGIN", {}, abandoned.get()), [](std::exception_ptr, Answer) {});
    asio::co_spawn(line.loop, line.ask("PLAIN", "AGpvZQBiYWQ=", slow.get()), [&](std::exception_ptr, Answer answer) { late = std::move(answer); });
    line.settle();
    CHECK(!late);
    const Answer now = line.run(line.ask("PLAIN", "AGpvZQBzZWNyZXQ=", quick.get()));
    CHECK(now.kind == Answer::Kind::accepted);
    CHECK(now.username == "joe");
    CHECK(!late);
    abandoned.reset();
    line.settle();
    CHECK(line.server.heard.back() == "CANCEL\t1");
    line.server.release();
    line.settle();
    CHECK(late.value_or(Answer{}).kind == Answer::Kind::refused);
    CHECK(line.server.connections == 1);
    CHECK(line.warnings.empty());
}

TEST_CASE("dovecot: a lost connection answers what is under way with `later`, and the next need connects anew")
{
    Line line;
    const observe::AskedSince asked(observe::Helper::sasl);
    auto first = line.dovecot->exchange();
    line.server.hold = "1";
    std::optional<Answer> answer;
    asio::co_spawn(line.loop, line.ask("PLAIN", "AGpvZQBzZWNyZXQ=", first.get()), [&](std::exception_ptr, Answer got) { answer = std::move(got); });
    line.settle();
    line.server.hang_up();
    line.settle();
    CHECK(answer.value_or(Answer(Answer::Kind::more, {})).kind == Answer::Kind::later);
    CHECK(answer.value_or(Answer{}).text == "Connection lost to authentication server");
    auto second = line.dovecot->exchange();
    line.server.hold.clear();
    CHECK(line.run(line.ask("PLAIN", "AGpvZQBzZWNyZXQ=", second.get())).kind == Answer::Kind::accepted);
    CHECK(line.server.connections == 2);
    // Away: what was offered is remembered, and AUTH is told to come again.
    line.server.hang_up();
    line.settle();
    line.server.away = true;
    CHECK(line.run(line.dovecot->offers())->size() == 3);
    auto third = line.dovecot->exchange();
    const Answer later = line.run(line.ask("PLAIN", "x", third.get()));
    CHECK(later.kind == Answer::Kind::later);
    CHECK(later.text == "Can't connect to authentication server");
    CHECK(asked.count() == observe::AskedCount{3, 2, 0});
    CHECK(line.warnings.back() == "SASL: Connect to Dovecot auth socket 'private/auth' failed: No such file or directory");
}

TEST_CASE("dovecot: a server that reads nothing costs bounded memory, and one that says nothing for long a connection, not every login to come")
{
    Line line;
    REQUIRE(line.run(line.dovecot->offers()));
    line.server.stuck = true;
    SUBCASE("nothing is read")
    {
        std::vector<std::unique_ptr<Exchange>> exchanges;
        std::size_t later = 0;
        for (int i = 0; i < 300; ++i) {
            exchanges.push_back(line.dovecot->exchange());
            asio::co_spawn(line.loop, line.ask("PLAIN", std::string(12000, 'A'), exchanges.back().get()),
                           [&](std::exception_ptr, Answer answer) { later += answer.kind == Answer::Kind::later ? 1 : 0; });
        }
        line.settle();
        CHECK(later > 0);
        CHECK(std::ranges::count(line.warnings, "SASL: Dovecot auth socket 'private/auth': it reads nothing") > 0);
        line.dovecot.reset();
        line.settle();
        CHECK(later == exchanges.size());
    }
    SUBCASE("nothing is said")
    {
        auto first = line.dovecot->exchange();
        CHECK(line.run(line.ask("PLAIN", "AGpvZQBzZWNyZXQ=", first.get())).kind == Answer::Kind::later);
        CHECK(line.warnings == std::vector<std::string>{"SASL: Dovecot auth socket 'private/auth': it answers nothing"});
        line.settle();
        line.server.stuck = false;
        auto second = line.dovecot->exchange();
        CHECK(line.run(line.ask("PLAIN", "AGpvZQBzZWNyZXQ=", second.get())).kind == Answer::Kind::accepted);
        CHECK(line.server.connections == 2);
    }
    SUBCASE("others are answered")
    {
        line.server.stuck = false;
        line.server.hold = "1";
        auto first = line.dovecot->exchange(), second = line.dovecot->exchange();
        std::optional<Answer> answer;
        asio::co_spawn(line.loop, line.ask("PLAIN", "AGpvZQBzZWNyZXQ=", first.get()),
                       [&](std::exception_ptr, Answer got) { answer = std::move(got); });
        line.settle();
        CHECK(line.run(line.ask("PLAIN", "AGpvZQBzZWNyZXQ=", second.get())).kind == Answer::Kind::accepted);
        while (!answer && line.loop.run_one_for(std::chrono::seconds(10)) != 0)
            ;
        CHECK(answer.value_or(Answer(Answer::Kind::more, {})).kind == Answer::Kind::later);
        CHECK(line.warnings.empty());
        CHECK(line.server.connections == 1);
    }
}

TEST_CASE("dovecot: what is no auth socket for clients is said, and nothing is offered")
{
    for (const auto& [greeting, warning] :
         {std::pair{"VERSION\t2\t0\nSPID\t1\nMECH\tPLAIN\nDONE\n", "SASL: Protocol version mismatch (2 vs. 1)"},
          {"VERSION\t1\t0\nMECH\tPLAIN\nDONE\n", "SASL: Connected to wrong auth socket (auth-master instead of auth-client)"},
          {"SPID\t1\nDONE\n", "SASL: Protocol version error"},
          {"VERSION\t1\t0\nMECH\t\n", "SASL: Protocol error: MECH"}}) {
        CAPTURE(std::string(greeting));
        Line line;
        line.server.greeting = greeting;
        CHECK(!line.run(line.dovecot->offers()));
        REQUIRE(line.warnings.size() == 1);
        CHECK(line.warnings.front() == warning);
    }
}
