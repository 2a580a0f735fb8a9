// smtp_per_request_deadline and smtp_min_data_rate: how long a peer may take that goes on, but slowly. Time leaps.
#include "send/world_test.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::send;
using namespace std::chrono_literals;

namespace {

/// A server that takes its time: for octets of content, for reading a group of commands, for their answers.
struct Pace {
    std::size_t octets = SIZE_MAX;              // of content, a second
    seconds before_group{0}, before_answers{0};     // a group: RCPT commands together
    seconds each{0};                            // before the answer to an RCPT, while further ones wait to be read
    bool trickles = false;                      // an answer to MAIL, one octet a second
};

class SlowServer {
public:
    SlowServer(std::unique_ptr<net::Stream> stream, Pace pace) : stream_(std::move(stream)), pace_(pace) {}

    awaitable<void> serve()
    {
        co_await say("220 slow.test ESMTP\r\n");
        while (co_await more()) {
            for (std::string line = take_line(); !line.empty(); line = take_line()) {
                if (line.starts_with("EHLO"))
                    co_await say("250-slow.test\r\n250 PIPELINING\r\n");
                else if (line.starts_with("MAIL"))
                    co_await mail();
                else if (line.starts_with("RCPT")) {
                    co_await sleep_for(pace_.each);
                    co_await say("250 ok\r\n");
                } else if (line.starts_with("DATA")) {
                    co_await say("354 go on\r\n");
                    if (!co_await content())
                        co_return;
                } else
                    co_await say(line.starts_with("QUIT") ? "221 bye\r\n" : "250 ok\r\n");
            }
        }
    }

private:
    awaitable<void> say(std::string text) { (void)co_await stream_->write(std::string_view(text)); }
    awaitable<bool> more()
    {
        char some[200];
        const auto got = co_await stream_->read_some(some);
        if (!got || *got == 0)
            co_return false;
        kept_.append(some, *got);
        co_return true;
    }
    std::string take_line()
    {
        const auto end = kept_.find('\n');
        std::string line = end == std::string::npos ? std::string() : kept_.substr(0, end + 1);
        kept_.erase(0, line.size());
        return line;
    }
    awaitable<void> mail()
    {
        co_await sleep_for(pace_.before_group);
        while (kept_.find("DATA\r\n") == std::string::npos && pace_.before_group != seconds(0))
            if (!co_await more())
                co_return;
        co_await sleep_for(pace_.before_answers);
        const std::string answer = "250 " + std::string(400, 'x') + "\r\n";
        for (std::size_t at = 0; pace_.trickles && at < answer.size(); ++at) {
            co_await say(answer.substr(at, 1));
            co_await sleep_for(1s);
        }
        if (!pace_.trickles)
            co_await say(answer);
    }
    awaitable<bool> content()
    {
        std::string all;
        std::string room(std::min<std::size_t>(pace_.octets, 4096), '\0');
        while (!all.ends_with("\r\n.\r\n")) {
            const auto got = co_await stream_->read_some(room);
            if (!got || *got == 0)
                co_return false;
            all.append(room, 0, *got);
            if (pace_.octets != SIZE_MAX)
                co_await sleep_for(std::chrono::milliseconds(*got * 1000 / pace_.octets));
        }
        co_await say("250 taken\r\n");
        co_return true;
    }

    std::unique_ptr<net::Stream> stream_;
    Pace pace_;
    std::string kept_;
};

awaitable<void> serve_slowly(std::unique_ptr<net::Stream> stream, Pace pace)
{
    SlowServer server(std::move(stream), pace);
    co_await server.serve();
}

struct Slowly {
    explicit Slowly(Pace pace)
    {
        world.players["192.0.2.2"] = [pace](std::unique_ptr<net::Stream> stream) { return serve_slowly(std::move(stream), pace); };
        world.memory.capacity = 500;
        world.turned = world.leaps = &clock;
        world.options.per_request_deadline = true;
        world.options.timeouts.data_xfer = 60s;
    }
    handoff::Verdict send(std::size_t octets, std::size_t recipients = 1)
    {
        std::vector<std::string> to;
        for (std::size_t i = 0; i < recipients; ++i)
            to.push_back(fmt::format("user{}@example.test", i));
        std::string content = "Subject: x\r\n\r\n";
        while (content.size() < octets)
            content += std::string(78, 'x') + "\r\n";
        const WallTime began = clock.wall();
        auto verdicts = world.run(request(to, std::move(content)));
        took = std::chrono::microseconds(verdicts.verdicts(0).finished()) - began.time_since_epoch();      // the server may go on for longer
        return verdicts.verdicts(0);
    }
    World world;
    HandClock clock;
    std::chrono::microseconds took{0};
};

}  // namespace

TEST_CASE("pace: content that goes out at smtp_min_data_rate may take longer than smtp_data_xfer_timeout; slower content uses up its time")
{
    Slowly keeps({.octets = 1000});
    keeps.world.options.min_data_rate = 900;
    CHECK(keeps.send(200'000).outcome() == delivered);
    CHECK(keeps.took > 190s);

    // A quarter of the rate: of each second a quarter comes back, and sixty seconds last for eighty.
    Slowly lags({.octets = 250});
    lags.world.options.min_data_rate = 1000;
    const auto late = lags.send(200'000);
    CHECK(late.outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(late.text().find("timed out while sending message body") != std::string::npos);
    CHECK(lags.took > 70s);
    CHECK(lags.took < 100s);
}

TEST_CASE("pace: what was saved up by going fast is never more than smtp_data_xfer_timeout")
{
    // The first five thousand octets would be worth five thousand seconds.
    Slowly stops({.octets = 1});
    stops.world.memory.capacity = 5'000;
    stops.world.options.min_data_rate = 1;
    CHECK(stops.send(200'000).outcome() == handoff::OUTCOME_DEFERRED);
    CHECK(stops.took < 200s);
}

TEST_CASE("pace: saying commands and hearing their answers share one limit with a deadline per request, and have one each without")
{
    for (const bool per_request : {true, false}) {
        CAPTURE(per_request);
        Slowly slow({.before_group = 100s, .before_answers = 250s});
        slow.world.options.per_request_deadline = per_request;
        slow.world.options.timeouts.data_xfer = 180s;
        CHECK((slow.send(100, 40).outcome() == delivered) == !per_request);
    }
}

TEST_CASE("pace: a group may take long as a whole while its answers keep coming, with a deadline per request or without")
{
    for (const bool per_request : {true, false}) {
        CAPTURE(per_request);
        Slowly slow({.each = 20s});
        slow.world.options.per_request_deadline = per_request;
        CHECK(slow.send(100, 100).outcome() == delivered);
        CHECK(slow.took > 1000s);
    }
}

TEST_CASE("pace: a peer that takes nothing more of a content has had its time, and is not waited for again as for an answer")
{
    for (const bool per_request : {true, false}) {
        CAPTURE(per_request);
        Slowly stops({.octets = 1});
        stops.world.options.per_request_deadline = per_request;
        CHECK(stops.send(200'000).text().find("timed out while sending message body") != std::string::npos);
        CHECK(stops.took < 100s);
    }
}

TEST_CASE("pace: an answer that comes an octet a second is waited for no longer than its limit")
{
    for (const bool per_request : {true, false}) {
        Slowly slow({.trickles = true});
        slow.world.options.per_request_deadline = per_request;
        CHECK(slow.send(100).outcome() == handoff::OUTCOME_DEFERRED);
        CHECK(slow.took < 310s);
    }
}
