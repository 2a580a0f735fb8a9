// A run is cut off behind every step; Posthorn (or Postfix) works on what it may in between; the next run finishes. Each message once.
#include "migrate/queue_test.hpp"

#include "migrate/give_back.hpp"
#include "migrate/queue_file.hpp"
#include "migrate/queue_folder.hpp"
#include "migrate/take_over.hpp"

#include <signal.h>
#include <sys/resource.h>

#include <iterator>

using namespace posthorn;
using migrate::testing::Folder;
using migrate::testing::Queues;
namespace fs = std::filesystem;

namespace {

std::string queue_file(const std::string& recipient, std::size_t octets = 0)
{
    handoff::Envelope envelope;
    envelope.set_arrival(1795662802'000000);
    envelope.set_sender("s@x.test");
    envelope.add_recipients()->set_address(recipient);
    migrate::QueueFileWriter writer;
    std::string file = *writer.begin(envelope) + writer.content("Subject: x\r\n\r\n" + recipient + "\r\n" + std::string(octets, 'x') + "\r\n") +
                       writer.end(envelope);
    return file.replace(0, writer.sizes().size(), writer.sizes());
}

class PostfixQueues : public Queues {
public:
    PostfixQueues() : Queues({"incoming", "hold", "deferred"}) {}

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
};

const std::multiset<std::string> everybody{"a@x.test", "b@x.test", "held@x.test"};

void fill(const PostfixQueues& queues)
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
        const PostfixQueues queues;
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

TEST_CASE("take over: a disk that is full and then is not: the run ends, names the file, and each message comes once")
{
    const PostfixQueues queues;
    fill(queues);
    queues.write("incoming/A4", queue_file("large@x.test", 8 << 20));
    queues.write("deferred/A5", queue_file("later@x.test"));
    const auto limit = [](rlim_t octets) {
        ::signal(SIGXFSZ, SIG_IGN);
        struct rlimit now{};
        ::getrlimit(RLIMIT_FSIZE, &now);
        now.rlim_cur = octets;
        ::setrlimit(RLIMIT_FSIZE, &now);
    };
    for (int round = 0; round < 2; ++round)  // no room for the large one; at the second round there is, right behind its failure
        CHECK_FALSE(queues.cut_off(
            [&](const config::Snapshot& config, const std::string& from, const migrate::Step&) {
                limit(4 << 20);
                const auto taken = migrate::take_over_queue(config, from, [&] {
                    if (round == 1)
                        limit(RLIM_INFINITY);
                });
                const bool ended = !taken && taken.error().text().ends_with("insufficient system storage: make room and repeat");
                return ended ? Result<void>{} : Result<void>{Error{taken ? "it did not end" : taken.error().text()}};
            },
            0));
    CHECK(fs::exists(queues.theirs() + "/incoming/A4"));
    CHECK_FALSE(queues.cut_off(migrate::take_over_queue, 0));
    CHECK_FALSE(queues.cut_off(migrate::take_over_queue, 0));
    CHECK(queues.deliver() == std::multiset<std::string>{"a@x.test", "b@x.test", "large@x.test", "later@x.test"});
    CHECK(fs::is_empty(queues.theirs() + "/posthorn-taken/taking"));
}

TEST_CASE("take over: a run that was cut off while it wrote a large message is finished by the next, not by one of another day")
{
    const PostfixQueues queues;
    queues.write("incoming/A1", queue_file("large@x.test", 1 << 20));
    CHECK(queues.cut_off(migrate::take_over_queue, 1));
    const std::string link = fs::directory_iterator(queues.theirs() + "/posthorn-taken/taking")->path().filename().string();
    const std::string begun = queues.config().text("queue_directory") + "/spool/incoming/" + link.substr(link.rfind('+') + 1);
    {
        const migrate::AsMailOwner as_owner(*supervisor::identity(queues.config()));
        std::ofstream(begun) << "begun";
    }
    REQUIRE(fs::exists(begun));
    CHECK_FALSE(queues.cut_off(migrate::take_over_queue, 0));
    CHECK(queues.deliver() == std::multiset<std::string>{"large@x.test"});
    CHECK(fs::is_empty(queues.theirs() + "/posthorn-taken/taking"));
}

TEST_CASE("take over: what may still lie in a queue that cannot be read is not released")
{
    const PostfixQueues queues;
    queues.write("incoming/A1", queue_file("a@x.test"));
    CHECK(queues.cut_off(migrate::take_over_queue, 2));             // committed on hold, and in its queue
    fs::rename(queues.theirs() + "/incoming", queues.theirs() + "/away");
    queues.write("incoming", "no folder");
    CHECK_FALSE(migrate::take_over_queue(queues.config(), queues.theirs()));
    CHECK(queues.deliver().empty());
    fs::remove(queues.theirs() + "/incoming");
    fs::rename(queues.theirs() + "/away", queues.theirs() + "/incoming");
    CHECK_FALSE(queues.cut_off(migrate::take_over_queue, 0));
    CHECK(queues.deliver() == std::multiset<std::string>{"a@x.test"});
    CHECK(fs::is_empty(queues.theirs() + "/incoming"));
}

TEST_CASE("take over: two files of one name are both kept")
{
    const PostfixQueues queues;
    fs::create_directories(queues.theirs() + "/deferred/A");
    queues.write("deferred/A1", queue_file("a@x.test"));
    queues.write("deferred/A/A1", queue_file("b@x.test"));
    CHECK_FALSE(queues.cut_off(migrate::take_over_queue, 0));
    CHECK(queues.deliver() == std::multiset<std::string>{"a@x.test", "b@x.test"});
    const fs::directory_iterator kept(queues.theirs() + "/posthorn-taken/deferred");
    CHECK(std::distance(begin(kept), end(kept)) == 2);
}

TEST_CASE("queue folder: only a regular file is read, and nothing in its place holds up the run")
{
    const Folder folder;
    folder.write("file", "octets");
    ::mkfifo((folder.path() + "/fifo").c_str(), 0700);
    fs::create_symlink(folder.path() + "/file", folder.path() + "/link");
    const auto file = migrate::read_regular_file(folder.path() + "/file", 6);
    REQUIRE(file);
    CHECK(file->octets == "octets");
    CHECK(migrate::read_regular_file(folder.path() + "/file", 5).error().text() == "larger than 5 octets");
    CHECK(migrate::read_regular_file(folder.path() + "/fifo").error().text() == "not a regular file");
    CHECK_FALSE(migrate::read_regular_file(folder.path() + "/link"));
    CHECK_FALSE(migrate::read_regular_file(folder.path() + "/gone"));
}

TEST_CASE("stopped queue: as long as a run has it, no mail system starts on either")
{
    const PostfixQueues queues;
    fs::create_directories(queues.theirs() + "/pid");
    {
        const auto queue = migrate::StoppedQueue::open(queues.config(), queues.theirs());
        REQUIRE_MESSAGE(queue, queue.error().text());
        CHECK(supervisor::running_instance(queues.theirs()) == ::getpid());
        CHECK_FALSE(supervisor::InstanceLock::take(queues.theirs()));
        CHECK_FALSE(supervisor::InstanceLock::take(queues.config().text("queue_directory")));
        CHECK_FALSE(migrate::take_over_queue(queues.config(), queues.theirs()));
        (*queue)->close();
    }
    CHECK(supervisor::InstanceLock::take(queues.theirs()));
}

TEST_CASE("give back: wherever a run is cut off, and whatever either system delivered in between, each message comes once")
{
    for (int step = 1;; ++step) {
        CAPTURE(step);
        const PostfixQueues queues;
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
