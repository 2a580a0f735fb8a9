#include "async/run.hpp"
#include "ipc/channel.hpp"
#include "ipc/dispatcher.hpp"
#include "ipc/ipc.pb.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <cstring>

using namespace posthorn;
using namespace posthorn::ipc;
using namespace std::chrono_literals;

namespace {

enum class Word : std::uint16_t { echo = 1, slow, refuse, drop, hand_over, note, unknown };

Octets octets(std::string data)
{
    Octets message;
    message.set_data(std::move(data));
    return message;
}

awaitable<Result<Octets>> slow_echo(Octets request)
{
    co_await sleep_for(std::chrono::milliseconds(std::stoi(request.data())));
    co_return request;
}

awaitable<Result<Octets>> refused(Octets request) { co_return Error{"no room for " + request.data(), "4.3.1"}; }

awaitable<Result<Octets>> read_from(Octets request, std::vector<Fd> descriptors)
{
    for (const Fd& fd : descriptors) {
        char room[16];
        const ssize_t got = ::read(fd.get(), room, sizeof room);
        if (got > 0)
            request.mutable_data()->append(room, static_cast<std::size_t>(got));
    }
    co_return request;
}

/// A server and the channel of its client.
struct Pair {
    explicit Pair(ChannelOptions options = {}) : tasks(loop.get_executor()), dispatcher(tasks)
    {
        dispatcher.on_now<Octets, Octets>(Word::echo, [](const Octets& request) -> Result<Octets> { return request; });
        dispatcher.on<Octets, Octets>(Word::slow, [](Octets request) { return slow_echo(std::move(request)); });
        dispatcher.on<Octets, Octets>(Word::refuse, [](Octets request) { return refused(std::move(request)); });
        dispatcher.on<Octets, Octets>(Word::hand_over,
                                      [](Octets request, std::vector<Fd> fds) { return read_from(std::move(request), std::move(fds)); });
        dispatcher.on_notice<Octets>(Word::note, [this](Octets message) { notes += message.data(); });
        auto [a, b] = Channel::socket_pair().value();
        options.name = "qmgr";
        client = Channel::open(loop.get_executor(), std::move(a), options, {}, [this](Error error) { ended = error.text(); });
        options.name = "smtpd";
        server = Channel::open(loop.get_executor(), std::move(b), options, [this](Incoming incoming) {
            if (incoming.kind != static_cast<Kind>(Word::drop))
                dispatcher.dispatch(std::move(incoming));
        });
    }
    ~Pair()
    {
        client->close();
        server->close();
        run(loop, tasks.close());
    }
    Result<Octets> call(Word word, std::string data) { return run(loop, client->call<Octets>(word, octets(std::move(data)))); }

    asio::io_context loop;
    TaskGroup tasks;
    Dispatcher dispatcher;
    std::shared_ptr<Channel> client, server;
    std::string notes, ended;
};

awaitable<void> call_into(std::shared_ptr<Channel> channel, Word word, std::string data, std::vector<std::string>& order)
{
    const auto reply = co_await channel->call<Octets>(word, octets(std::move(data)));
    order.push_back(reply ? reply->data().substr(0, 8) : reply.error().what() + '/' + reply.error().status());
}

awaitable<void> notes_until_full(std::shared_ptr<Channel> channel, int& sent)
{
    while (co_await channel->send(Word::note, octets(std::string(64 * 1024, 'n'))))
        ++sent;
}

}  // namespace

TEST_CASE("channel: replies find their callers in any order; failures carry status and words")
{
    Pair pair;
    std::vector<std::string> order;
    for (const char* wait : {"90", "30", "60"})
        pair.tasks.spawn(call_into(pair.client, Word::slow, wait, order));
    pair.tasks.spawn(call_into(pair.client, Word::echo, "at once", order));
    run(pair.loop, pair.tasks.drained());
    CHECK((order == std::vector<std::string>{"at once", "30", "60", "90"}));

    CHECK(pair.call(Word::refuse, "tea").error().what() == "no room for tea");
    CHECK(pair.call(Word::refuse, "tea").error().status() == "4.3.1");
    CHECK(pair.call(Word::unknown, "x").error().what() == "no such request: kind 7");
    CHECK(pair.call(Word::drop, "x").error().what() == "the request was dropped without an answer");
    CHECK(run(pair.loop, pair.client->send(Word::note, octets("psst"))).has_value());
    CHECK(pair.client->post(Word::note, octets("!")).has_value());
    CHECK(pair.call(Word::echo, "").value().data().empty());          // behind the notes, in order
    CHECK(pair.notes == "psst!");
}

TEST_CASE("channel: what one turn says leaves in one write and is read in one read")
{
    Pair pair;
    std::vector<std::string> order;
    for (int i = 0; i < 100; ++i)
        pair.tasks.spawn(call_into(pair.client, Word::echo, std::to_string(i), order));
    run(pair.loop, pair.tasks.drained());
    CHECK(order.size() == 100);
    CHECK(pair.client->counts().frames_out == 100);
    CHECK(pair.client->counts().writes == 1);
    CHECK(pair.server->counts().reads == 1);
    CHECK(pair.server->counts().writes == 1);
}

TEST_CASE("channel: descriptors arrive with the frame they were sent with, whatever travels before and after")
{
    Pair pair;
    std::vector<std::string> order;
    for (int i = 0; i < 20; ++i) {
        pair.tasks.spawn(call_into(pair.client, Word::echo, std::string(3000, 'x'), order));
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        Fd reader(ends[0]);
        REQUIRE(::write(ends[1], &"abcdefghijklmnopqrst"[i], 1) == 1);
        ::close(ends[1]);
        std::vector<Fd> fds;
        fds.push_back(std::move(reader));
        if (i % 2 == 0)
            fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        const auto reply = run(pair.loop, pair.client->call<Octets>(Word::hand_over, octets(std::to_string(i)), std::move(fds)));
        CHECK(reply.value().data() == std::to_string(i) + "abcdefghijklmnopqrst"[i]);
    }
    run(pair.loop, pair.tasks.drained());
    CHECK(order.size() == 20);
}

TEST_CASE("channel: frames of every size around the buffers go through, one over the limit is refused on both sides")
{
    ChannelOptions options;
    options.frame_limit = 1 << 20;
    Pair pair(options);
    for (const std::size_t size : {1UL, 4096UL, 65'535UL, 131'056UL, 131'072UL, 131'073UL, 262'144UL, 300'000UL, (1UL << 20) - 8}) {
        const auto reply = pair.call(Word::echo, std::string(size, 'z'));
        CHECK(reply.value().data().size() == size);
    }
    CHECK(pair.call(Word::echo, std::string(1 << 20, 'z')).error().what() == "message of 1048580 octets for qmgr is over the frame limit");

    auto [a, b] = Channel::socket_pair().value();
    ChannelOptions tight;
    tight.name = "intruder";
    tight.frame_limit = 1000;
    std::string ended;
    auto channel = Channel::open(pair.loop.get_executor(), std::move(a), tight, {}, [&](Error error) { ended = error.what(); });
    char header[frame_header_size];
    encode_header({1001, 1, FrameType::notice, 0, 0}, header);
    REQUIRE(::write(b.get(), header, sizeof header) == sizeof header);
    run(pair.loop, sleep_for(10ms));
    CHECK(ended == "malformed frame: 1001 octets, the limit is 1000 from intruder");
    CHECK_FALSE(channel->is_open());
}

TEST_CASE("channel: a frame that claims descriptors it does not bring, or brings too many, ends the connection; nothing is leaked")
{
    const auto count_open = [] {
        int open = 0;
        for (int fd = 0; fd < 256; ++fd)
            open += ::fcntl(fd, F_GETFD) >= 0;
        return open;
    };
    asio::io_context loop;
    const auto before = count_open();
    for (const bool claims : {true, false}) {
        auto [a, b] = Channel::socket_pair().value();
        std::string ended;
        ChannelOptions options;
        options.name = "intruder";
        auto channel = Channel::open(loop.get_executor(), std::move(a), options, {}, [&](Error error) { ended = error.what(); });
        char header[frame_header_size];
        encode_header({0, 1, FrameType::notice, static_cast<std::uint8_t>(claims ? 2 : 0), 0}, header);
        iovec piece{header, sizeof header};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 40)] = {};
        const std::size_t count = claims ? 1 : 40;
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        cmsghdr* rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
        for (std::size_t i = 0; i < count; ++i) {
            const int zero = 0;
            std::memcpy(CMSG_DATA(rights) + i * sizeof(int), &zero, sizeof zero);
        }
        REQUIRE(::sendmsg(b.get(), &message, 0) == sizeof header);
        run(loop, sleep_for(10ms));
        CHECK(ended == (claims ? "malformed frame from intruder: descriptors are missing" : "malformed frame from intruder: too many descriptors"));
    }
    run(loop, sleep_for(1ms));
    CHECK(count_open() <= before + 3);                                // the loop's own
}

TEST_CASE("channel: the end of the connection fails every outstanding call, and cancelling ends one")
{
    Pair pair;
    std::vector<std::string> order;
    TaskGroup callers(pair.loop.get_executor());
    callers.spawn(call_into(pair.client, Word::slow, "10000", order));
    run(pair.loop, sleep_for(5ms));
    run(pair.loop, callers.close());
    CHECK((order == std::vector<std::string>{"canceled/4.3.2"}));
    CHECK(pair.client->calls_outstanding() == 0);

    order.clear();
    TaskGroup more(pair.loop.get_executor());
    more.spawn(call_into(pair.client, Word::slow, "10000", order));
    more.spawn(call_into(pair.client, Word::slow, "10001", order));
    run(pair.loop, sleep_for(5ms));
    pair.server->close();
    run(pair.loop, more.drained());
    CHECK((order == std::vector<std::string>{"lost connection with qmgr/4.3.0", "lost connection with qmgr/4.3.0"}));
    CHECK(pair.ended == "lost connection with qmgr");
    CHECK(pair.call(Word::echo, "x").error().what() == "lost connection with qmgr");
}

TEST_CASE("channel: a call whose time is up ends; the late reply harms nobody")
{
    ChannelOptions options;
    options.call_limit = 20ms;
    Pair pair(options);
    CHECK(pair.call(Word::slow, "80").error().what() == "qmgr: request timed out");
    run(pair.loop, sleep_for(100ms));
    CHECK(pair.call(Word::echo, "still").value().data() == "still");
}

TEST_CASE("channel: a peer that takes nothing holds the senders back within the limit, then is given up")
{
    asio::io_context loop;
    TaskGroup group(loop.get_executor());
    auto [a, b] = Channel::socket_pair().value();
    ChannelOptions options;
    options.name = "memory";
    options.queue_limit = 1 << 20;
    options.stuck_limit = 200ms;
    std::string ended;
    auto channel = Channel::open(loop.get_executor(), std::move(a), options, {}, [&](Error error) { ended = error.what(); });
    int sent = 0;
    group.spawn(notes_until_full(channel, sent));
    run(loop, sleep_for(50ms));
    CHECK(channel->octets_unsent() > options.queue_limit);
    CHECK(channel->octets_unsent() < options.queue_limit + 70'000);
    CHECK_FALSE(channel->post(Word::note, octets("one more")));
    run(loop, group.drained());
    CHECK(ended == "memory takes nothing any more");
    CHECK(sent > 16);
}

TEST_CASE("channel: requests beyond request_limit stay in the kernel until others are answered")
{
    ChannelOptions options;
    options.request_limit = 10;
    Pair pair(options);
    std::vector<std::string> order;
    for (int i = 0; i < 50; ++i)
        pair.tasks.spawn(call_into(pair.client, Word::slow, "10", order));
    run(pair.loop, sleep_for(5ms));
    CHECK(pair.server->counts().frames_in <= 12);
    run(pair.loop, pair.tasks.drained());
    CHECK((order == std::vector<std::string>(50, "10")));
}
