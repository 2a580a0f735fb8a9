// A run is cut off behind every step; Posthorn (or Postfix) works on what it may in between; the next run finishes. Each message once.
#include "async/run.hpp"
#include "migrate/give_back.hpp"
#include "migrate/queue_file.hpp"
#include "migrate/queue_folder.hpp"
#include "migrate/testing.hpp"
#include "spool/ledger.hpp"
#include "spool/opening.hpp"
#include "spool/spool.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>

#include <set>

using namespace posthorn;
using migrate::testing::Folder;
namespace fs = std::filesystem;

namespace {

class Quiet final : public observe::Sink {
    void write(observe::Level, std::string_view, std::string_view) override {}
};

std::string queue_file(const std::string& recipient)
{
    handoff::Envelope envelope;
    envelope.set_arrival(1795662802'000000);
    envelope.set_sender("s@x.test");
    envelope.add_recipients()->set_address(recipient);
    migrate::QueueFileWriter writer;
    std::string file = *writer.begin(envelope) + writer.content("Subject: x\r\n\r\n" + recipient + "\r\n") + writer.end(envelope);
    return file.replace(0, writer.sizes().size(), writer.sizes());
}

class Queues {
public:
    Queues()
    {
        const bool root = ::geteuid() == 0;
        folder_.write(
            "main.cf",
            fmt::format("compatibility_level = 3.6\nqueue_directory = {0}/ours\ndata_directory = {0}/data\nmail_owner = {1}\nsetgid_group = {2}\n",
                        folder_.path(), root && ::getpwnam("nobody") ? "nobody" : "mail", root && ::getgrnam("mail") ? "mail" : "daemon"));
        ::chmod(folder_.path().c_str(), 0755);
        for (const char* queue : {"incoming", "hold"})
            fs::create_directories(theirs() + "/" + queue);
    }
    std::string theirs() const { return folder_.path() + "/theirs"; }
    config::Snapshot config() const { return *config::load(folder_.path(), "test", {}); }
    void write(const std::string& name, const std::string& octets) const { folder_.write("theirs/" + name, octets, 0700); }

    /// In a process of its own, which ends behind that step; 0: at the end. Whether it came so far.
    template <class Run>
    bool cut_off(Run run, int step) const
    {
        const pid_t pid = ::fork();
        if (pid == 0) {
            int passed = 0;
            const auto done = run(config(), theirs(), [&] {
                if (++passed == step)
                    ::_exit(7);
            });
            if (!done)
                fmt::print(stderr, "{}\n", done.error().text());
            ::_exit(done ? 0 : 1);
        }
        int status = 0;
        ::waitpid(pid, &status, 0);
        REQUIRE(WIFEXITED(status));
        REQUIRE((WEXITSTATUS(status) == 7 || WEXITSTATUS(status) == 0));
        return WEXITSTATUS(status) == 7;
    }

    /// The queue manager delivers what is not on hold: addresses. `held_too`: those on hold are told as well, and stay.
    std::multiset<std::string> deliver(bool held_too = false) const
    {
        std::multiset<std::string> delivered;
        asio::io_context loop;
        SystemClock clock;
        if (!fs::exists(folder_.path() + "/ours/spool"))
            return delivered;
        const migrate::AsMailOwner as_owner(*supervisor::identity(config()));
        const auto files = spool::system_files(folder_.path() + "/ours/spool");
        auto opened = spool::Spool::open(*files, {}, loop.get_executor(), clock, observe::Log(std::make_shared<Quiet>(), "test"), {});
        REQUIRE(opened);
        const auto page = run(loop, (*opened)->list(0, 1000));
        REQUIRE(page);
        std::vector<spool::Lease> gone;
        for (const spool::StoredMessage& message : page->entries) {
            if (message.hold && !held_too)
                continue;
            for (const spool::RecipientState& state : message.recipients)
                delivered.insert(state.recipient.address());
            if (!message.hold)
                gone.push_back(message.lease);
        }
        if (!gone.empty())
            REQUIRE(run(loop, (*opened)->remove(gone)));
        run(loop, (*opened)->close());
        opened->reset();
        // A day may pass between two runs: what left the queue is not remembered any more.
        const auto later = spool::open_queue(*files, {}, clock, observe::Log(std::make_shared<Quiet>(), "test"));
        REQUIRE(later);
        later->ledger->connection().run("DELETE FROM gone");
        return delivered;
    }

    /// Postfix delivers what is in its queue.
    std::multiset<std::string> deliver_theirs() const
    {
        std::multiset<std::string> delivered;
        for (const char* queue : {"incoming", "hold"})
            for (const auto& entry : fs::directory_iterator(theirs() + "/" + queue)) {
                std::ifstream file(entry.path());
                const std::string octets{std::istreambuf_iterator<char>(file), {}};
                const auto read = migrate::read_queue_file(octets, [](std::string_view) { return Result<void>{}; });
                REQUIRE(read);
                for (const handoff::Recipient& one : read->envelope.recipients())
                    delivered.insert(one.address());
                fs::remove(entry.path());
            }
        return delivered;
    }

private:
    Folder folder_;
};

const std::multiset<std::string> everybody{"a@x.test", "b@x.test", "held@x.test"};

void fill(const Queues& queues)
{
    queues.write("incoming/A1", queue_file("a@x.test"));
    queues.write("incoming/A2", queue_file("b@x.test"));
    queues.write("hold/A3", queue_file("held@x.test"));
}

}  // namespace

TEST_CASE("take over: wherever a run is cut off, and whatever was delivered in between, each message comes once and the held one stays held")
{
    for (int step = 1;; ++step) {
        CAPTURE(step);
        const Queues queues;
        fill(queues);
        const bool cut = queues.cut_off(migrate::take_over_queue, step);
        auto delivered = queues.deliver();
        CHECK_FALSE(queues.cut_off(migrate::take_over_queue, 0));
        delivered.merge(queues.deliver());
        CHECK(delivered == std::multiset<std::string>{"a@x.test", "b@x.test"});
        CHECK(queues.deliver(true) == std::multiset<std::string>{"held@x.test"});
        CHECK(fs::exists(queues.theirs() + "/posthorn-taken/incoming/A1"));
        CHECK(fs::exists(queues.theirs() + "/posthorn-taken/hold/A3"));
        CHECK(fs::is_empty(queues.theirs() + "/incoming"));
        if (!cut) {
            CHECK(step > 8);
            break;
        }
    }
}

TEST_CASE("give back: wherever a run is cut off, and whatever either system delivered in between, each message comes once")
{
    for (int step = 1;; ++step) {
        CAPTURE(step);
        const Queues queues;
        fill(queues);
        CHECK_FALSE(queues.cut_off(migrate::take_over_queue, 0));
        const bool cut = queues.cut_off(migrate::give_back_queue, step);
        auto delivered = queues.deliver_theirs();
        delivered.merge(queues.deliver());
        CHECK_FALSE(queues.cut_off(migrate::give_back_queue, 0));
        delivered.merge(queues.deliver_theirs());
        CHECK(delivered == everybody);
        CHECK(queues.deliver(true).empty());
        CHECK(fs::is_empty(queues.theirs() + "/posthorn-back"));
        if (!cut) {
            CHECK(step > 6);
            break;
        }
    }
}
