// migrate/queue_test.hpp: our queue and another system's, side by side, and runs between them that are cut off. For tests.
#pragma once

#include "async/run.hpp"
#include "migrate/quiet.hpp"
#include "migrate/stopped_queue.hpp"
#include "migrate/testing.hpp"
#include "spool/ledger.hpp"
#include "spool/opening.hpp"
#include "spool/spool.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>

#include <initializer_list>
#include <set>

namespace posthorn::migrate::testing {

namespace fs = std::filesystem;

class Queues {
public:
    /// `folders`: of the other system's queue.
    explicit Queues(std::initializer_list<const char*> folders)
    {
        const bool root = ::geteuid() == 0;
        folder_.write(
            "main.cf",
            fmt::format("compatibility_level = 3.6\nqueue_directory = {0}/ours\ndata_directory = {0}/data\nmail_owner = {1}\nsetgid_group = {2}\n",
                        folder_.path(), root && ::getpwnam("nobody") ? "nobody" : "mail", root && ::getgrnam("mail") ? "mail" : "daemon"));
        ::chmod(folder_.path().c_str(), 0755);
        for (const char* folder : folders)
            fs::create_directories(theirs() + "/" + folder);
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
        const AsMailOwner as_owner(*supervisor::identity(config()));
        const auto files = spool::system_files(folder_.path() + "/ours/spool");
        auto opened = spool::Spool::open(*files, {}, loop.get_executor(), clock, quiet_log(), {});
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
        const auto later = spool::open_queue(*files, {}, clock, quiet_log());
        REQUIRE(later);
        later->ledger->connection().run("DELETE FROM gone");
        return delivered;
    }

private:
    Folder folder_;
};

}  // namespace posthorn::migrate::testing
