// Cyrus SASL behind its process. Without its library the case that needs it says so and tests nothing.
#include "services/sasl_link.hpp"

#include "async/run.hpp"
#include "base/strings.hpp"
#include "net/listener.hpp"
#include "receive/params.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

using namespace posthorn;
using namespace posthorn::services;
using namespace std::chrono_literals;
using namespace std::string_literals;
using AnswerKind = sasl::Answer::Kind;

namespace {

struct SaslFolder {
    std::string path = [] {
        char name[] = "/tmp/posthorn-sasl.XXXXXX";
        return std::string(::mkdtemp(name));
    }();
    ~SaslFolder() { std::filesystem::remove_all(path); }
};

config::Snapshot smtpd_line(const std::string& folder, std::string myhostname)
{
    static constexpr std::span<const config::ParamInfo> own[] = {receive::params};
    config::Site site;
    site.host_name = "mx.here.test";
    const std::vector<config::Assignment> written{
        {"smtpd_sasl_auth_enable", "yes"}, {"cyrus_sasl_config_path", folder}, {"myhostname", std::move(myhostname)}};
    return config::Snapshot(site, folder, own).with(written, "test");
}

/// The sasl process's end of a connection, and smtpd's.
struct Desk {
    using Said = Result<sasl::asked::StepAnswer>;

    Desk(SaslDesk& asked, asio::io_context& on) : loop(on), tasks(on.get_executor()), callers(on.get_executor())
    {
        auto [one, other] = ipc::Channel::socket_pair().value();
        serving = ipc::Channel::open(loop.get_executor(), std::move(one), {}, asked.handler(tasks));
        asking = ipc::Channel::open(loop.get_executor(), std::move(other));
    }
    ~Desk()
    {
        run(loop, tasks.close());
        run(loop, callers.close());
        asking->close();
        serving->close();
    }

    static sasl::asked::Step plain(std::uint64_t exchange, const sasl::asked::Place& place, bool with_password)
    {
        sasl::asked::Step step;
        step.set_exchange(exchange);
        *step.mutable_place() = place;
        step.set_mechanism("PLAIN");
        step.set_has_said(with_password);
        if (with_password)
            step.set_said(base64_encode("\0joe\0secret"s));
        return step;
    }
    Said ask(sasl::asked::Step step) { return run(loop, asking->call<sasl::asked::StepAnswer>(SaslFrame::step, std::move(step))); }
    std::string trouble(sasl::asked::Step step)
    {
        const Said said = ask(std::move(step));
        return said ? "none" : said.error().text();
    }
    /// The answer comes when saslauthd's does.
    std::shared_ptr<std::optional<Said>> begin(sasl::asked::Step step)
    {
        auto answer = std::make_shared<std::optional<Said>>();
        callers.spawn(keep(asking, std::move(step), answer));
        return answer;
    }
    static awaitable<void> keep(std::shared_ptr<ipc::Channel> channel, sasl::asked::Step step, std::shared_ptr<std::optional<Said>> answer)
    {
        *answer = co_await channel->call<sasl::asked::StepAnswer>(SaslFrame::step, std::move(step));
    }

    asio::io_context& loop;
    TaskGroup tasks, callers;
    std::shared_ptr<ipc::Channel> serving, asking;
};

/// Says no to one question, which may have waited.
void answer_as_saslauthd(asio::io_context& loop, int listener)
{
    pollfd look{.fd = listener, .events = POLLIN, .revents = 0};
    run_until(loop, [&] { return ::poll(&look, 1, 0) == 1; });
    const Fd question(::accept(listener, nullptr, nullptr));
    char room[1024];
    REQUIRE(::read(question.get(), room, sizeof room) > 0);
    REQUIRE(::write(question.get(), "\0\2NO", 4) == 4);
}

}  // namespace

TEST_CASE("sasl: a file of passwords that is not there yet opens its folder, but never one that has what is ours")
{
    const SaslFolder folder;
    const std::string queue = folder.path + "/queue";
    for (const char* const made : {"/queue/spool", "/queue/etc", "/passwords", "/data"})
        std::filesystem::create_directories(folder.path + made);
    std::ofstream(queue + "/there") << "x";
    std::filesystem::create_directory_symlink(queue, folder.path + "/link");
    const std::vector<std::string> ours{queue + "/spool", queue + "/maildrop", folder.path + "/data"};
    const auto readable = [&](const std::string& path) { return sasl_readable(std::vector{path}, ours); };
    using List = std::vector<std::string>;
    CHECK(readable(queue + "/there") == List{queue + "/there"});
    CHECK(readable(queue + "/etc/sasldb2") == List{queue + "/etc"});
    CHECK(readable(folder.path + "/passwords/db") == List{folder.path + "/passwords"});
    CHECK(readable(queue + "/sasldb2").empty());
    CHECK(readable(folder.path + "/link/sasldb2").empty());
    CHECK(readable(folder.path + "/data/sasldb2").empty());
    CHECK(readable(folder.path + "/sasldb2").empty());
    CHECK(readable("/posthorn-sasldb2").empty());
    CHECK(readable("/etc/posthorn-sasldb2").empty());
}

TEST_CASE("sasl: smtpd waits for a process that does not answer once, and asks again after a pause")
{
    const SaslFolder folder;
    asio::io_context loop;
    HandClock clock;
    int asked = 0, wanted = 0;
    bool ready = false;
    ipc::Server server(loop.get_executor(), net::listen(net::Endpoint::unix(folder.path + "/sasl")).value(), {}, [&](std::weak_ptr<ipc::Channel>) {
        return [&](ipc::Incoming incoming) {
            ++asked;
            if (!ready)
                return incoming.responder.fail(Error{"not yet", "4.3.0"});
            sasl::asked::OffersReply reply;
            reply.add_offers()->set_name("PLAIN");
            incoming.responder.reply(reply);
        };
    });
    server.start();
    ipc::Client client(loop.get_executor(), folder.path + "/sasl", {});
    client.start();
    SaslLink link(client, {}, [&] { ++wanted; }, clock, observe::Log(std::make_shared<observe::MemorySink>(), "postfix/smtpd"));
    CHECK(wanted == 1);
    CHECK(run(loop, link.offers()).error().text() == "SASL: not yet");
    CHECK(wanted == 2);
    ready = true;
    clock.advance(SaslLink::pause - 1s);
    CHECK_FALSE(run(loop, link.offers()));
    CHECK(asked == 1);
    clock.advance(1s);
    CHECK(run(loop, link.offers())->size() == 1);
    CHECK(run(loop, link.offers())->size() == 1);
    CHECK(asked == 2);                                   // once for all
    run(loop, client.close());
    run(loop, server.close());
}

TEST_CASE("sasl: the desk holds to its bounds, and a line of smtpd is asked about under its own name")
{
    const SaslFolder folder;
    std::ofstream(folder.path + "/smtpd.conf") << "pwcheck_method: saslauthd\nmech_list: PLAIN\nsaslauthd_path: " << folder.path << "/mux\n";
    const std::vector<config::Snapshot> lines{smtpd_line(folder.path, "mx.here.test"), smtpd_line(folder.path, "other.test")};
    process::Start start;
    start.set_queue_directory(folder.path + "/queue");
    asio::io_context loop;                                // outlives the threads of the desk (on_thread)
    auto opened = SaslDesk::open(lines, start, {.threads = 1, .waiting = 1, .talks = 3});
    if (!opened) {
        MESSAGE("left out: ", opened.error().text());
        return;
    }
    const Fd saslauthd = net::listen(net::Endpoint::unix(folder.path + "/mux")).value();
    Desk desk(**opened, loop);
    const sasl::asked::Place here = sasl_place(lines[0], false);
    CHECK(desk.trouble(Desk::plain(1, sasl_place(smtpd_line(folder.path, "third.test"), false), false)) ==
          "no line of master.cf asks Cyrus SASL in this way");
    CHECK(desk.trouble(Desk::plain(1, sasl_place(lines[1], true), false)) == "none");

    // Talks that are begun and not at their end.
    CHECK(desk.ask(Desk::plain(2, here, false))->kind() == static_cast<std::uint32_t>(AnswerKind::more));
    CHECK(desk.trouble(Desk::plain(2, here, false)) == "too many exchanges");
    CHECK(desk.trouble(Desk::plain(3, here, false)) == "none");
    CHECK(desk.trouble(Desk::plain(4, here, false)) == "too many exchanges");
    for (const std::uint64_t given_up : {1, 2, 3}) {
        sasl::asked::End end;
        end.set_exchange(given_up);
        REQUIRE(desk.asking->post(SaslFrame::end, end));
    }
    sasl::asked::Step late;
    late.set_exchange(2);
    late.set_has_said(true);
    CHECK(desk.trouble(late) == "no such exchange");

    // One waits for saslauthd, one for the thread; a third is told to come again, and leaves nothing behind.
    const auto first = desk.begin(Desk::plain(5, here, true)), second = desk.begin(Desk::plain(6, here, true));
    CHECK(desk.trouble(Desk::plain(7, here, true)) == "too many clients authenticate at once");
    late.set_exchange(5);
    CHECK(desk.trouble(late) == "no such exchange");      // it is being answered
    CHECK_FALSE(*first);
    for (const auto& answer : {first, second}) {
        answer_as_saslauthd(loop, saslauthd.get());
        run_until(loop, [&] { return answer->has_value(); });
        CHECK((**answer)->kind() == static_cast<std::uint32_t>(AnswerKind::refused));
    }
    const auto again = desk.begin(Desk::plain(7, here, true));
    answer_as_saslauthd(loop, saslauthd.get());
    run_until(loop, [&] { return again->has_value(); });
    CHECK((**again)->kind() == static_cast<std::uint32_t>(AnswerKind::refused));
}
