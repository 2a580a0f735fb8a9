// Files of messages that have left are written over by the next: never while somebody reads them, never before their message has left for good.
#include "base/fd.hpp"
#include "spool/recorded_files.hpp"
#include "spool/spool.hpp"
#include "spool/test_messages.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

using namespace posthorn;
using namespace posthorn::spool;

namespace {

/// A queue in a folder of the file system.
struct QueueInFolder {
    QueueInFolder() { reopen(); }
    void reopen()
    {
        spool.reset();
        auto opened = Spool::open(*files, {}, on.loop.get_executor(), on.clock, silent_log(), {});
        REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().text()));
        spool = std::move(*opened);
    }
    Lease enqueue(int number, const std::string& octets)
    {
        const NewMessageRef message = message_in_file(*files, number, octets);
        REQUIRE(message);
        const auto lease = on.get(spool->enqueue(message));
        REQUIRE_MESSAGE(lease, (lease ? "" : lease.error().text()));
        return *lease;
    }
    void remove(Lease lease) { REQUIRE(on.get(spool->remove({lease})).value_or(0) == 1); }
    std::string content(Lease lease)
    {
        const auto reader = on.get(spool->content(lease));
        return reader ? (*reader)->octets().value_or("unreadable") : reader.error().text();
    }
    std::string path(const std::string& name) const { return folder.path() + "/" + std::string(incoming_folder) + "/" + name; }
    ino_t inode(const std::string& name) const
    {
        struct stat about{};
        return ::stat(path(name).c_str(), &about) == 0 ? about.st_ino : 0;
    }
    std::size_t files_there() const
    {
        const auto at = std::filesystem::directory_iterator(folder.path() + "/" + std::string(incoming_folder));
        return static_cast<std::size_t>(std::distance(begin(at), end(at)));
    }

    TemporaryFolder folder;
    std::unique_ptr<FileOps> files = system_files(folder.path());
    LoopHarness on;
    std::unique_ptr<Spool> spool;
};

const std::string long_text = octets_of(1, 300'000), short_text = octets_of(2, 70'000), longer_text = octets_of(3, 900'000);

}  // namespace

TEST_CASE("spare: the file of a message that has left is written over by the next, and has its length")
{
    QueueInFolder queue;
    const Lease first = queue.enqueue(1, long_text);
    const ino_t inode = queue.inode(queue_id(1));
    queue.remove(first);
    CHECK(queue.inode(queue_id(1)) == 0);
    CHECK(queue.files_there() == 1);

    const Lease second = queue.enqueue(2, short_text);
    CHECK(queue.inode(queue_id(2)) == inode);
    CHECK(queue.content(second) == short_text);
    CHECK(std::filesystem::file_size(queue.path(queue_id(2))) == short_text.size());
    queue.remove(second);

    const Lease third = queue.enqueue(3, longer_text);
    CHECK(queue.inode(queue_id(3)) == inode);
    CHECK(queue.content(third) == longer_text);
    CHECK(queue.files_there() == 1);
}

TEST_CASE("spare: what somebody still reads is his to the end, also in another process")
{
    QueueInFolder queue;
    const Lease first = queue.enqueue(1, long_text);
    auto reader = queue.on.get(queue.spool->content(first));
    REQUIRE(reader);
    const Fd passed{::dup((*reader)->descriptor())};           // as qmgr gives it to a delivery process
    REQUIRE(passed);
    SUBCASE("here")
    {
        queue.remove(first);
        queue.enqueue(2, short_text);
        CHECK((*reader)->octets().value_or("unreadable") == long_text);
    }
    SUBCASE("there")
    {
        reader->reset();
        queue.remove(first);
        queue.enqueue(2, short_text);
        std::string octets(long_text.size(), '\0');
        CHECK(::pread(passed.get(), octets.data(), octets.size(), 0) == static_cast<ssize_t>(octets.size()));
        CHECK(octets == long_text);
    }
}

TEST_CASE("spare: a file with another name as well is not written over: a backup has it")
{
    QueueInFolder queue;
    const Lease first = queue.enqueue(1, long_text);
    REQUIRE(queue.on.get(queue.spool->backup("copy")));
    queue.remove(first);
    queue.enqueue(2, short_text);
    std::ifstream copy(queue.folder.path() + "/copy/" + incoming_name(queue_id(1)), std::ios::binary);
    CHECK(std::string(std::istreambuf_iterator<char>(copy), {}) == long_text);
}

TEST_CASE("spare: no more than there is a use for, none that is large, and a new start has none")
{
    QueueInFolder queue;
    std::vector<Lease> leases;
    for (int number = 1; number <= static_cast<int>(spare_files) + 8; ++number)
        leases.push_back(queue.enqueue(number, short_text));
    for (const Lease lease : leases)
        queue.remove(lease);
    CHECK(queue.files_there() == spare_files);
    queue.reopen();
    CHECK(queue.files_there() == 0);
    queue.remove(queue.enqueue(100, octets_of(100, spare_octets + 1)));
    CHECK(queue.files_there() == 0);
}

TEST_CASE("spare: what a message said does not stay in one that nobody writes over")
{
    QueueInFolder queue;
    const Lease first = queue.enqueue(1, long_text), second = queue.enqueue(2, long_text), third = queue.enqueue(3, long_text);
    queue.remove(first);
    queue.remove(second);
    std::vector<std::string> spares;
    for (const auto& entry : std::filesystem::directory_iterator(queue.path("")))
        if (is_spare(entry.path().filename().native()))
            spares.push_back(entry.path().filename());
    REQUIRE(spares.size() == 2);
    for (const std::string& name : {spares[0], queue_id(3)})
        std::filesystem::last_write_time(queue.path(name),
                                         std::filesystem::file_time_type::clock::now() - Options{}.orphan_age - std::chrono::seconds(5));
    CHECK(queue.on.get(queue.spool->sweep()).value_or(1) == 0);                     // it was no orphan
    CHECK(queue.inode(spares[0]) == 0);
    CHECK(queue.inode(spares[1]) != 0);
    CHECK(queue.content(third) == long_text);
}

TEST_CASE("spare: who was faster has it, and one that is held by its writer is nobody's")
{
    QueueInFolder queue;
    queue.remove(queue.enqueue(1, long_text));
    auto one = IncomingFile::create(*queue.files, queue_id(2));
    auto other = IncomingFile::create(*queue.files, queue_id(3));
    REQUIRE((one && other));
    CHECK(queue.inode(queue_id(2)) != queue.inode(queue_id(3)));
    CHECK(queue.files->set_aside(incoming_name(queue_id(2)), "incoming/spare-0", spare_octets) == EBUSY);
    std::unique_ptr<File> taken;
    CHECK(queue.files->take_spare("incoming/spare-0", incoming_name(queue_id(4)), taken) == ENOENT);
}

TEST_CASE("spare: its writer reads what he wrote, not what was there")
{
    QueueInFolder queue;
    queue.remove(queue.enqueue(1, long_text));
    auto file = IncomingFile::create(*queue.files, queue_id(2));
    REQUIRE((file && file->append("short\r\n")));
    CHECK(file->read(0, 4096).value_or("unreadable") == "short\r\n");
    CHECK(file->read(5, 4096).value_or("unreadable") == "\r\n");
    CHECK(file->read(7, 4096).value_or("unreadable").empty());
}
