#include "milter/chain.hpp"

#include "async/run.hpp"
#include "milter/testing.hpp"
#include "net/connect.hpp"
#include "observe/testing.hpp"

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <algorithm>

using namespace posthorn;
using namespace posthorn::milter;
using namespace std::chrono_literals;
using namespace std::string_literals;
using milter::testing::answer;
using milter::testing::Filter;
using milter::testing::numbered;
using milter::testing::text;

namespace {

constexpr std::string_view content = "Received: ours\r\nSubject: old\r\nX-A:  two\r\n\tlines\r\nX-A: second\r\n\r\nbody\r\n";

std::string shown(const Verdict& verdict)
{
    using Kind = Verdict::Kind;
    switch (verdict.kind) {
    case Kind::go_on: return "go on";
    case Kind::reply: return verdict.reply;
    case Kind::hold: return "hold";
    case Kind::discard: return "discard";
    case Kind::shutdown: return "shutdown";
    }
    return {};
}

struct Rig {
    Rig() : filter(loop) {}
    ~Rig()
    {
        if (chain)
            run(loop, chain->quit());
        run(loop, filter.listener.close());
    }
    awaitable<Result<std::unique_ptr<net::Stream>>> open(const Spec& spec)
    {
        const net::ConnectOptions with(spec.settings.connect_timeout);
        co_return co_await net::connect(loop.get_executor(), net::Endpoint(net::IpAddress::loopback(), spec.port), with);
    }
    Chain& filters()
    {
        options.lists.of(Stage::connect) = {"j"};
        options.lists.of(Stage::mail) = {"{mail_addr}", "i"};
        options.lists.of(Stage::end_of_body) = {"i"};
        auto specs = parse_milters(list.empty() ? filter.place() : list, options.settings);
        REQUIRE(specs);
        chain = std::make_unique<Chain>(
            *std::move(specs), options, [this](const Spec& spec) { return open(spec); },
            [](std::string_view name) -> std::optional<std::string> { return name == "i" ? std::nullopt : std::optional("v-" + std::string(name)); },
            [this](std::string warning) { warnings.push_back(std::move(warning)); });
        return *chain;
    }
    std::string connect()
    {
        Peer peer;
        peer.name = "client.test";
        peer.address = "192.0.2.1";
        peer.port = 40000;
        return shown(run(loop, chain->connect(std::move(peer))));
    }
    std::string helo() { return shown(run(loop, chain->helo("client.test"))); }
    std::string mail() { return shown(run(loop, chain->mail({"<a@b.test>", "SIZE=5"}))); }
    std::string rcpt() { return shown(run(loop, chain->recipient({"<c@d.test>"}))); }
    std::string data() { return shown(run(loop, chain->data())); }
    std::string begin()
    {
        filters();
        std::string all;
        for (const std::string& one : {connect(), helo(), mail(), rcpt(), data()})
            all += one + ",";
        return all;
    }
    std::string message(std::string_view octets = content)
    {
        whole = octets;
        made = std::make_unique<Mail>(whole, whole.size(), [this](std::uint64_t offset, std::size_t most) { return read(offset, most); }, limit);
        made->hold_within(may_hold);
        return shown(run(loop, chain->message(*made, nullptr)));
    }
    awaitable<Result<std::string>> read(std::uint64_t offset, std::size_t most) { co_return whole.substr(static_cast<std::size_t>(offset), most); }
    std::string result()
    {
        const auto& body = made->new_body();
        return made->head() + (body ? *body : whole.substr(made->old_head_size()));
    }
    /// The filter hears of it a moment later.
    bool heard(std::string_view what)
    {
        for (int turn = 0; turn < 1000 && filter.all_heard().find(what) == std::string::npos; ++turn) {
            loop.restart();
            loop.run_for(5ms);
        }
        return filter.all_heard().find(what) != std::string::npos;
    }

    asio::io_context loop;
    Options options;
    Filter filter;
    std::unique_ptr<Chain> chain;
    std::vector<std::string> warnings;
    std::string whole, list;
    std::unique_ptr<Mail> made;
    Mail::MayHold may_hold;
    std::uint64_t limit = 1 << 20;
};

}  // namespace

TEST_CASE("milter: a session and two messages, as the filter hears them")
{
    Rig rig;
    CHECK(rig.begin() == "go on,go on,go on,go on,go on,");
    CHECK(rig.message() == "go on");
    CHECK_FALSE(rig.made->changed());
    CHECK(rig.mail() == "go on");
    rig.chain->abort();
    CHECK(rig.mail() == "go on");
    run(rig.loop, rig.chain->quit());
    REQUIRE(rig.heard("QUIT"));
    CHECK(rig.filter.all_heard() == "CONNECT client.test 4 40000 192.0.2.1\nHELO client.test\nMAIL <a@b.test>|SIZE=5\nRCPT <c@d.test>\nDATA\n"
                                    "HEADER Subject|old\nHEADER X-A| two\n\tlines\nHEADER X-A|second\nEOH\nBODY 6\nEOB\n"
                                    "MAIL <a@b.test>|SIZE=5\nABORT\nMAIL <a@b.test>|SIZE=5\nABORT\nQUIT\n");
    CHECK(rig.filter.bodies == "body\r\n");
    // What has no value is not sent, what has one goes under the name that the list has.
    CHECK(rig.filter.macros.front() == "MACRO C j=v-j");
    CHECK(rig.filter.macros.at(2) == "MACRO M {mail_addr}=v-mail_addr");
    CHECK(rig.filter.connections == 1);
    CHECK(rig.warnings.empty());
}

TEST_CASE("milter: what the filter does not want is not sent, what it does not answer is not waited for")
{
    Rig rig;
    using namespace step;
    rig.filter.steps = no_helo | no_recipient | mute_connect | mute_mail | mute_header | mute_end_of_header | mute_body | leading_space;
    CHECK(rig.begin() == "go on,go on,go on,go on,go on,");
    CHECK(rig.message() == "go on");
    CHECK(rig.filter.all_heard() == "CONNECT client.test 4 40000 192.0.2.1\nMAIL <a@b.test>|SIZE=5\nDATA\n"
                                    "HEADER Subject| old\nHEADER X-A|  two\n\tlines\nHEADER X-A| second\nEOH\nBODY 6\nEOB\n");
    CHECK(rig.filter.reads == 3);                         // negotiation; all up to DATA; the whole message
    // Macros go with a command that it does not want all the same, but not with fields.
    Rig no_fields;
    no_fields.filter.steps = no_recipient | no_header;
    no_fields.begin();
    CHECK(no_fields.message() == "go on");
    const auto told = [&](std::string_view code) {
        return std::ranges::count_if(no_fields.filter.macros, [&](const std::string& one) { return one.starts_with("MACRO " + std::string(code)); });
    };
    CHECK(told("R") == 1);
    CHECK(told("L") == 0);
    CHECK(told("N") == 1);
}

TEST_CASE("milter: an old filter is told what its version has, and the macros that it asks for")
{
    Rig rig;
    rig.filter.version = 2;
    rig.filter.macros_wanted = numbered(0, text("v"));
    CHECK(rig.begin() == "go on,go on,go on,go on,go on,");
    CHECK(rig.filter.all_heard().find("DATA") == std::string::npos);
    CHECK(rig.filter.macros.front() == "MACRO C v=v-v");
    CHECK(rig.filter.macros.at(2) == "MACRO M {mail_addr}=v-mail_addr");        // the other lists are ours
    Rig ours;
    ours.options.settings.version = 3;
    ours.filter.version = 3;
    CHECK(ours.begin() == "go on,go on,go on,go on,go on,");
    CHECK(ours.filter.offered == "\0\0\0\3\0\0\1\xff\0\0\1\x7f"s);
}

TEST_CASE("milter: a large body goes in pieces of 65535 octets, and no more once the filter has enough")
{
    const std::string large = std::string(content) + std::string(150'000, 'x');
    Rig rig;
    rig.begin();
    CHECK(rig.message(large) == "go on");
    CHECK(rig.filter.all_heard().find("BODY 65535\nBODY 65535\nBODY 18936\nEOB\n") != std::string::npos);
    CHECK(rig.filter.bodies == "body\r\n" + std::string(150'000, 'x'));
    Rig enough;
    enough.filter.script = {{"BODY", answer('s')}};
    enough.begin();
    CHECK(enough.message(large) == "go on");
    CHECK(enough.filter.all_heard().find("EOH\nBODY 65535\nEOB\n") != std::string::npos);
}

TEST_CASE("milter: verdicts, and how long they hold")
{
    SUBCASE("reject, tempfail, a reply of its own: to one recipient")
    {
        Rig rig;
        rig.filter.script = {{"RCPT", answer('r')}};
        CHECK(rig.begin() == "go on,go on,go on,550 5.7.1 Command rejected,go on,");
        rig.filter.script = {{"RCPT", answer('t')}};
        CHECK(rig.rcpt() == "451 4.7.1 Service unavailable - try again later");
        rig.filter.script = {{"RCPT", answer('y', text("554-5.7.9 no\r\n554 5.7.9 never"))}};
        CHECK(rig.rcpt() == "554-5.7.9 no\r\n554 5.7.9 never");
        rig.filter.script.clear();
        CHECK(rig.rcpt() == "go on");
    }
    SUBCASE("of the connection: for the whole session")
    {
        Rig rig;
        rig.filter.script = {{"HELO", answer('y', text("550 5.7.1 go away"))}};
        CHECK(rig.begin() == "go on,550 5.7.1 go away,550 5.7.1 go away,550 5.7.1 go away,550 5.7.1 go away,");
        CHECK(rig.message() == "550 5.7.1 go away");
        CHECK(rig.filter.heard.size() == 2);
    }
    SUBCASE("accepted: nothing more of this message, of this session")
    {
        Rig rig;
        rig.filter.script = {{"MAIL", answer('a')}};
        CHECK(rig.begin() == "go on,go on,go on,go on,go on,");
        CHECK(rig.message() == "go on");
        CHECK(rig.filter.all_heard().ends_with("MAIL <a@b.test>|SIZE=5\n"));
        rig.filter.script.clear();
        rig.mail();
        rig.rcpt();
        CHECK(rig.filter.all_heard().ends_with("ABORT\nMAIL <a@b.test>|SIZE=5\nRCPT <c@d.test>\n"));
        Rig session;
        session.filter.script = {{"CONNECT", answer('a')}};
        CHECK(session.begin() == "go on,go on,go on,go on,go on,");
        CHECK(session.message() == "go on");
        CHECK(session.filter.heard.size() == 1);
    }
    SUBCASE("discard, hang up, quarantine")
    {
        Rig rig;
        rig.filter.script = {{"CONNECT", answer('d')}, {"DATA", answer('d')}};
        CHECK(rig.begin() == "go on,go on,go on,go on,discard,");
        CHECK(rig.warnings == std::vector<std::string>{"milter " + rig.filter.place() + ": DISCARD action is not allowed for connect or helo"});
        Rig gone;
        gone.filter.script = {{"MAIL", answer('4')}};
        CHECK(gone.begin() == "go on,go on,shutdown,shutdown,shutdown,");
        Rig failing;
        failing.filter.script = {{"CONNECT", answer('f')}};
        CHECK(failing.begin() == "shutdown,shutdown,shutdown,shutdown,shutdown,");
        Rig held;
        held.filter.script = {{"EOB", answer('p') + answer('q', text("why")) + answer('c')}};
        held.begin();
        CHECK(held.message() == "hold");
        CHECK(held.mail() == "go on");
    }
}

TEST_CASE("milter: changes of header, body and envelope; places count our own field, names do not")
{
    Rig rig;
    rig.filter.script = {{"EOB", answer('h', text("X-Last") + text("end")) + answer('i', numbered(0, text("X-Top") + text("a\nb"))) +
                                     answer('i', numbered(2, text("X-Third") + text("c"))) + answer('m', numbered(2, text("x-a") + text("changed"))) +
                                     answer('m', numbered(1, text("Subject") + text(""))) + answer('m', numbered(1, text("X-None") + text(""))) +
                                     answer('m', numbered(1, text("X-Made") + text("so"))) +
                                     answer('m', numbered(1, text("Received") + text("theirs"))) + answer('b', "new\nbo") + answer('b', "dy\r") +
                                     answer('b', "\nend") + answer('e', text("<x@y>") + text("RET=HDRS")) + answer('+', text("<new@r>")) +
                                     answer('2', text("<par@r>") + text("NOTIFY=NEVER")) + answer('-', text("<c@d.test>")) + answer('a')}};
    rig.begin();
    CHECK(rig.message() == "go on");
    CHECK(rig.result() == "X-Top: a\r\n\tb\r\nReceived: ours\r\nX-Third: c\r\nX-A:  two\r\n\tlines\r\nx-a: changed\r\nX-Last: end\r\nX-Made: so\r\n"
                          "Received: theirs\r\n\r\nnew\r\nbody\r\nend\r\n");
    std::string envelope;
    for (const EnvelopeChange& change : rig.made->envelope_changes())
        envelope += fmt::format("{} {} {},", static_cast<int>(change.kind), change.address, change.arguments);
    CHECK(envelope == "0 <x@y> RET=HDRS,1 <new@r> ,1 <par@r> NOTIFY=NEVER,2 <c@d.test> ,");
}

TEST_CASE("milter: a new body that is too large refuses the message, and the filter stays in step")
{
    Rig rig;
    rig.limit = 10;
    rig.filter.script = {{"EOB", answer('b', "12345678") + answer('b', "9012") + answer('c')}};
    rig.begin();
    CHECK(rig.message() == "552 5.3.4 Error: message file too big");
    CHECK(rig.mail() == "go on");
    CHECK(rig.warnings.size() == 1);
}

TEST_CASE("milter: a new body for which there is no memory defers the message, and the filter stays in step")
{
    Rig rig;
    rig.filter.script = {{"EOB", answer('b', std::string(5000, 'x')) + answer('b', std::string(5000, 'y')) + answer('c')}};
    std::vector<std::size_t> asked;
    rig.may_hold = [&](std::size_t octets) {
        asked.push_back(octets);
        return octets < 10'000;
    };
    rig.begin();
    CHECK(rig.message() == "452 4.3.1 Insufficient system storage");
    REQUIRE(asked.size() == 2);
    CHECK(asked.back() == asked.front() + 5000);
    CHECK(asked.front() > 5000 + content.size() - 10);            // the header counts
    CHECK(rig.mail() == "go on");
    CHECK(rig.warnings.size() == 1);
}

TEST_CASE("milter: each filter sees what those before it made; the first that refuses decides")
{
    Rig rig;
    Filter second(rig.loop);
    rig.filter.script = {{"EOB", answer('h', text("X-First") + text("was here")) + answer('b', "other") + answer('c')}, {"RCPT", answer('r')}};
    rig.list = rig.filter.place() + ", " + second.place();
    rig.filters();
    rig.connect();
    rig.helo();
    rig.mail();
    CHECK(rig.rcpt() == "550 5.7.1 Command rejected");
    CHECK(second.all_heard().find("RCPT") == std::string::npos);
    rig.data();
    CHECK(rig.message() == "go on");
    CHECK(second.all_heard().find("HEADER X-First|was here\n") != std::string::npos);
    CHECK(second.bodies == "other\r\n");
    run(rig.loop, rig.chain->quit());
    run(rig.loop, second.listener.close());
}

TEST_CASE("milter: one that cannot be asked answers with its default action, and says so once")
{
    const auto said = [](std::string_view action, auto prepare) {
        Rig rig;
        rig.options.settings.default_action = *parse_default_action(action);
        rig.options.settings.command_timeout = rig.options.settings.content_timeout = 1s;
        prepare(rig);
        const observe::AskedSince asked(observe::Helper::milter);
        std::string all = rig.begin() + rig.message();
        CHECK(rig.warnings.size() == 1);
        CHECK(asked.count().failed == 1);
        CHECK(asked.count().open == 0);
        std::string warning = rig.warnings.empty() ? "" : rig.warnings.front();
        if (const auto place = warning.find(rig.filter.place()); place != std::string::npos)
            warning.replace(place, rig.filter.place().size(), "F");
        return warning + "; " + all;
    };
    const auto dies = [](std::string event) { return [event](Rig& rig) { rig.filter.script = {{event, "hang up"}}; }; };
    CHECK(said("tempfail", dies("CONNECT")) == "milter F: can't read SMFIC_CONNECT reply packet header: Connection closed by peer; "
                                               "451 4.7.1 Service unavailable - try again later,451 4.7.1 Service unavailable - try again later,"
                                               "451 4.7.1 Service unavailable - try again later,451 4.7.1 Service unavailable - try again later,"
                                               "451 4.7.1 Service unavailable - try again later,451 4.7.1 Service unavailable - try again later");
    CHECK(said("accept", dies("RCPT")) ==
          "milter F: can't read SMFIC_RCPT reply packet header: Connection closed by peer; go on,go on,go on,go on,go on,go on");
    CHECK(said("quarantine", dies("EOB")).ends_with("; go on,go on,go on,go on,go on,hold"));
    CHECK(said("reject", dies("EOB")).ends_with(",550 5.5.0 Service unavailable"));
    CHECK(said("shutdown", dies("EOB")).ends_with(",421 4.7.1 Service unavailable - try again later"));
    // Silence is the same as death.
    CHECK(said("tempfail", [](Rig& rig) {
              rig.filter.script = {{"RCPT", ""}};
          }).starts_with("milter F: can't read SMFIC_RCPT reply packet header: Connection timed out; go on,go on,go on,451 4.7.1"));
    CHECK(said("tempfail", [](Rig& rig) {
              rig.filter.script = {{"MAIL", answer('h', text("X") + text("y"))}};
          }).starts_with("milter F: unexpected filter response SMFIR_ADDHEADER after event SMFIC_MAIL; go on,go on,451 4.7.1"));
    // What the filter should not have asked for is a mistake of its configuration.
    CHECK(said("tempfail", [](Rig& rig) {
              rig.filter.script = {{"MAIL", answer('y', text("250 fine"))}};
          }).starts_with("milter F: malformed reply: 250 fine; go on,go on,451 4.3.5 Server configuration problem - try again later,"));
    CHECK(said("accept", [](Rig& rig) { rig.filter.script = {{"EOB", answer('h', text("") + text("y"))}}; }).ends_with(",go on"));
    CHECK(said("tempfail", [](Rig& rig) {
              rig.filter.actions = 0x200;
          }).starts_with("milter F: request mask 0x200 conflict with MTA request mask 0x1ff; 451"));
    CHECK(said("tempfail", [](Rig& rig) {
              rig.filter.version = 7;
          }).starts_with("milter F: protocol version 7 conflict with MTA protocol version 6; 451"));
    CHECK(said("tempfail", [](Rig& rig) {
              rig.filter.negotiation = answer('c');
          }).starts_with("milter F: unexpected reply \"c\" in initial handshake; 451"));
    CHECK(said("accept", [](Rig& rig) { rig.list = "inet:127.0.0.1:1"; }) ==
          "connect to Milter service inet:127.0.0.1:1: Connection refused; go on,go on,go on,go on,go on,go on");
}

TEST_CASE("milter: recipients that were refused are told to filters that want to know")
{
    Rig rig;
    rig.begin();
    CHECK_FALSE(rig.chain->hears_refused_recipients());
    Rig curious;
    curious.filter.steps = step::rejected_recipients;
    curious.begin();
    CHECK(curious.chain->hears_refused_recipients());
    run(curious.loop, curious.chain->refused_recipient({"<no@d.test>"}));
    CHECK(curious.heard("RCPT <no@d.test>"));
}

TEST_CASE("milter: a filter that fails amid its changes has changed nothing, whatever becomes of the message")
{
    Rig rig;
    Filter second(rig.loop);
    rig.options.settings.default_action = DefaultAction::accept;
    rig.filter.script = {{"EOB", answer('h', text("X-First") + text("stays")) + answer('+', text("<stays@r>")) + answer('c')}};
    second.script = {
        {"EOB", answer('m', numbered(1, text("Subject") + text("half"))) + answer('+', text("<half@r>")) + answer('b', "half a bo") + answer('!')}};
    rig.list = rig.filter.place() + ", " + second.place();
    rig.begin();
    CHECK(rig.message() == "go on");
    CHECK(rig.warnings == std::vector<std::string>{"milter " + second.place() + ": unexpected filter response \"!\""});
    CHECK(rig.result() == "Received: ours\r\nSubject: old\r\nX-A:  two\r\n\tlines\r\nX-A: second\r\nX-First: stays\r\n\r\nbody\r\n");
    std::string envelope;
    for (const EnvelopeChange& change : rig.made->envelope_changes())
        envelope += change.address;
    CHECK(envelope == "<stays@r>");
    run(rig.loop, rig.chain->quit());
    run(rig.loop, second.listener.close());
}

TEST_CASE("milter: what a filter is not told of is not gathered for it without end")
{
    Rig rig;
    rig.filter.steps = step::no_helo | step::no_mail | step::no_recipient;
    rig.begin();
    for (int mail = 0; mail < 2000; ++mail)                       // none of them comes to a message
        CHECK(rig.mail() == "go on");
    CHECK(rig.heard("ABORT"));
}

TEST_CASE("milter: changes of one message have a number")
{
    const auto with = [](std::size_t changes) {
        Rig rig;
        std::string all;
        for (std::size_t at = 0; at < changes; ++at)
            all += answer('-', text("<c@d.test>"));
        rig.filter.script = {{"EOB", all + answer('c')}};
        rig.begin();
        return rig.message();
    };
    CHECK(with(10'000) == "go on");
    CHECK(with(10'001) == "451 4.3.5 Server configuration problem - try again later");
}

TEST_CASE("milter: the fields behind the first 256 KiB of a header are body, and stay as they are")
{
    asio::io_context loop;
    std::string fields = "Received: ours\r\n";
    while (fields.size() < 3 * Mail::header_limit)
        fields += "X-Many: " + std::to_string(fields.size()) + "\r\n\tmore\r\n";
    std::string whole = fields + "\r\nbody\r\n";
    const auto load = [&] {
        auto mail = run(loop, Mail::load(whole.size(), Mail::Read([&](std::uint64_t offset, std::size_t most) -> awaitable<Result<std::string>> {
                                             const std::string piece = whole.substr(static_cast<std::size_t>(offset), most);
                                             return [](std::string octets) -> awaitable<Result<std::string>> { co_return octets; }(piece);
                                         }),
                                         0));
        REQUIRE(mail);
        return *std::move(mail);
    };
    const auto many = load();
    CHECK(many->old_head_size() < 2 * Mail::header_limit);
    CHECK(many->old_head_size() > Mail::header_limit / 2);
    CHECK(many->head() + whole.substr(static_cast<std::size_t>(many->old_head_size())) == whole);
    CHECK(many->header().back().text.ends_with("\r\n\tmore\r\n"));
    // One field has no such limit: it is not cut.
    whole = "Received: ours\r\nTo: a@b.test" + std::string(3 * Mail::header_limit, ' ') + "\r\n\r\nbody\r\n";
    const auto one = load();
    CHECK(one->header().size() <= 2);
    CHECK(one->head() + whole.substr(static_cast<std::size_t>(one->old_head_size())) == whole);
}

TEST_CASE("milter: where a header check took our Received: away, filters see the field that is in front then")
{
    const auto told = [](std::string_view whole) {
        std::vector<std::string> names;
        const Mail mail(whole, whole.size(), nullptr, 1000);
        for (const HeaderField& field : mail.header())
            if (!field.ours)
                names.push_back(field.text.substr(0, field.text.find(':')));
        return names;
    };
    using Names = std::vector<std::string>;
    CHECK(told("Subject: s\r\nFrom: a@b.test\r\n\r\n") == Names{"Subject", "From"});
    CHECK(told("X-Front: x\r\nReceived: ours\r\nReceived: theirs\r\nSubject: s\r\n\r\n") == Names{"X-Front", "Received", "Subject"});
}
