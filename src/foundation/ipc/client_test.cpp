#include "async/run.hpp"
#include "ipc/client.hpp"
#include "ipc/dispatcher.hpp"
#include "ipc/ipc.pb.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>

using namespace posthorn;
using namespace posthorn::ipc;
using namespace std::chrono_literals;

namespace {

Fd listen_at(const std::string& path)
{
    ::unlink(path.c_str());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd.get(), 16) == 0);
    return fd;
}

Hello hello(std::string service)
{
    Hello message;
    message.set_service(std::move(service));
    return message;
}

awaitable<Result<void>> say_hello(std::shared_ptr<Channel> channel)
{
    CO_TRY(const Hello answer, co_await channel->call<Hello>(1, hello("smtp")));
    if (answer.service() != "qmgr")
        co_return Error{"who is " + answer.service(), "4.3.0"};
    co_return Result<void>{};
}

std::unique_ptr<Server> serve(asio::io_context& loop, Dispatcher& dispatcher, const std::string& path)
{
    auto server = std::make_unique<Server>(loop.get_executor(), listen_at(path), ChannelOptions{},
                                           [&](std::weak_ptr<Channel>) { return dispatcher.handler(); });
    server->start();
    return server;
}

}  // namespace

/// The loop goes on until it is so; how soon is the machine's affair.
template <class Condition>
bool comes(asio::io_context& loop, Condition condition)
{
    for (int turn = 0; turn < 2000 && !condition(); ++turn)
        run(loop, sleep_for(5ms));
    return condition();
}

TEST_CASE("client: waits for its server, says Hello first, comes back after a loss, and says once that it is down")
{
    std::string folder = (std::filesystem::temp_directory_path() / "posthorn-ipc-XXXXXX").string();
    REQUIRE(::mkdtemp(folder.data()));
    const std::string path = folder + "/qmgr";
    asio::io_context loop;
    TaskGroup tasks(loop.get_executor());
    Dispatcher dispatcher(tasks);
    int hellos = 0;
    std::string name = "qmgr";
    dispatcher.on_now<Hello, Hello>(1, [&](const Hello&) -> Result<Hello> {
        ++hellos;
        return hello(name);
    });
    dispatcher.on_now<Octets, Octets>(2, [&](const Octets& request) -> Result<Octets> {
        CHECK(hellos > 0);
        return request;
    });

    ClientOptions options;
    options.channel.name = "qmgr";
    options.first_pause = 2ms;
    options.longest_pause = 10ms;
    options.wait_limit = 2s;
    std::vector<std::string> troubles;
    Client client(loop.get_executor(), path, options, {}, say_hello, [&](Error error) { troubles.push_back(error.what()); });
    client.start();
    CHECK(comes(loop, [&] { return !troubles.empty(); }));
    run(loop, sleep_for(30ms));
    CHECK_FALSE(client.connected());
    CHECK((troubles == std::vector<std::string>{"connect " + path + ": No such file or directory"}));

    auto server = serve(loop, dispatcher, path);
    CHECK(run(loop, client.call<Octets>(2, Octets{})).has_value());
    CHECK(hellos == 1);
    CHECK(server->channels().size() == 1);
    CHECK(server->channels().front()->credentials().pid == ::getpid());

    run(loop, server->close());
    server = serve(loop, dispatcher, path);
    run(loop, sleep_for(30ms));
    CHECK(run(loop, client.call<Octets>(2, Octets{})).has_value());
    CHECK(hellos == 2);

    run(loop, server->close());
    name = "impostor";
    server = serve(loop, dispatcher, path);
    CHECK(comes(loop, [&] { return hellos > 3; }));
    CHECK_FALSE(client.connected());
    CHECK(troubles.back() == "who is impostor");

    run(loop, server->close());
    run(loop, client.close());
    run(loop, tasks.close());
    CHECK(run(loop, client.call<Octets>(2, Octets{}), 5s).error().what() == "no connection to qmgr");
    std::filesystem::remove_all(folder);
}

TEST_CASE("client: what was asked of a server that ends is asked of the one that comes after it, thrice at most")
{
    std::string folder = (std::filesystem::temp_directory_path() / "posthorn-ipc-XXXXXX").string();
    REQUIRE(::mkdtemp(folder.data()));
    const std::string path = folder + "/resolve";
    asio::io_context loop;
    int asked = 0, deaths = 0;
    Server server(loop.get_executor(), listen_at(path), ChannelOptions{}, [&](std::weak_ptr<Channel> from) {
        return [&, from](Incoming incoming) {
            if (asked++ < deaths)
                return from.lock()->close();
            Octets reply;
            reply.set_data("here");
            incoming.responder.reply(reply);
        };
    });
    server.start();
    Client client(loop.get_executor(), path, ClientOptions{.channel = {.name = "resolve"}, .first_pause = 2ms, .longest_pause = 10ms});
    client.start();
    CHECK(run(loop, client.call_again<Octets>(2, Octets{}))->data() == "here");
    CHECK(asked == 1);
    asked = 0;
    deaths = 2;
    CHECK(run(loop, client.call_again<Octets>(2, Octets{})).has_value());
    CHECK(asked == 3);
    asked = 0;
    deaths = 3;                                                 // this question may be what ends it
    CHECK_FALSE(run(loop, client.call_again<Octets>(2, Octets{})).has_value());
    CHECK(asked == 3);
    run(loop, client.close());
    run(loop, server.close());
    std::filesystem::remove_all(folder);
}
