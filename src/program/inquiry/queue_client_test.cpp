#include "inquiry/known_peers.hpp"
#include "inquiry/memory_client.hpp"
#include "inquiry/queue_client.hpp"

#include "config/snapshot.hpp"
#include "handoff/frames.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>

using namespace posthorn;
using namespace std::chrono_literals;

namespace {

Fd deaf_socket(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(path.size() < sizeof address.sun_path);
    path.copy(address.sun_path, path.size());
    Fd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listening.get(), 10) == 0);
    return listening;
}

/// An instance whose processes take connections and never answer.
class HungInstance {
public:
    HungInstance()
    {
        std::string path = (std::filesystem::temp_directory_path() / "inquiry-XXXXXX").string();
        folder_ = ::mkdtemp(path.data());
        for (const char* sub : {"public", "private", "data"})
            std::filesystem::create_directories(folder_ / sub);
        std::ofstream(folder_ / "main.cf") << fmt::format("compatibility_level = 3.6\nqueue_directory = {0}\ndata_directory = {0}/data\n",
                                                          folder_.string());
        std::ofstream(folder_ / "master.cf");
        for (const std::string& name : {std::string("public/posthorn.queue"), std::string(handoff::memory_socket)})
            sockets_.push_back(deaf_socket((folder_ / name).string()));
    }
    HungInstance(HungInstance&&) = delete;
    ~HungInstance() { std::filesystem::remove_all(folder_); }
    config::Snapshot config() const { return *config::load(folder_.string(), "test", {}); }

private:
    std::filesystem::path folder_;
    std::vector<Fd> sockets_;
};

std::size_t open_descriptors() { return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {})); }

}  // namespace

TEST_CASE("questions: qmgr and memory are not waited for beyond the time that was said, and nothing of the question stays")
{
    const HungInstance instance;
    const config::Snapshot snapshot = instance.config();
    const auto began = std::chrono::steady_clock::now();
    const std::size_t descriptors = open_descriptors();
    const auto until = [] { return std::chrono::steady_clock::now() + 200ms; };
    handoff::QueueCommand command;
    const auto told = inquiry::QueueClient(snapshot, until()).ask(command);
    REQUIRE_FALSE(told);
    CHECK(told.error().text() == "qmgr: request timed out");
    CHECK(told.error().status() == "4.3.0");
    CHECK_FALSE(inquiry::QueueClient(snapshot, until()).sites(1));
    const auto known = inquiry::MemoryClient(snapshot, until()).known("user@there.test");
    REQUIRE_FALSE(known);
    CHECK(known.error().text() == "memory: request timed out");
    CHECK_FALSE(inquiry::MemoryClient(snapshot, until()).store());
    CHECK(inquiry::known_peers(snapshot, {}, SystemClock().wall(), until()));      // what the file says
    CHECK_FALSE(inquiry::QueueClient(snapshot, std::chrono::steady_clock::now() - 1s).ask(command));
    CHECK(std::chrono::steady_clock::now() - began < 5s);
    CHECK(open_descriptors() == descriptors);
}
