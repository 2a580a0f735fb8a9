// What comes to `posthorn standby receive`: frames of another machine's, in any order. Nothing is written but what belongs to a copy, and what was whole can be promoted.
#include "fuzz.hpp"

#include "spool/incoming.hpp"
#include "spool/recorded_files.hpp"
#include "standby/receiving.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace posthorn::fuzz {

void fuzz_one(std::string_view input)
{
    static const int in = ::memfd_create("in", MFD_CLOEXEC), out = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    FUZZ_CHECK(::ftruncate(in, 0) == 0 && ::pwrite(in, input.data(), input.size(), 0) == static_cast<ssize_t>(input.size()));
    FUZZ_CHECK(::lseek(in, 0, SEEK_SET) == 0);
    HandClock clock;
    spool::RecordedFiles files;
    standby::Line line(in, out, "the queue");
    const auto done = standby::receive(files, clock, line, {.version = "1", .host = "second.test", .patience = std::chrono::milliseconds{1}});
    FUZZ_CHECK(done || !done.error().text().empty());
    for (const char* folder : {"", "incoming"}) {
        std::vector<spool::Entry> entries;
        (void)files.list(folder, entries);
        for (const spool::Entry& entry : entries) {
            const std::string name = *folder ? spool::incoming_name(entry.name) : entry.name;
            const bool own = name == "spool.lock" || name == "incoming" || name == standby::copy_name || name == standby::journal_name;
            FUZZ_CHECK(own || standby::is_copied(name));
        }
    }
    const auto mark = standby::read_copy_mark(files);
    FUZZ_CHECK(mark);
    if (*mark && (*mark)->progress != standby::Progress::partial)
        FUZZ_CHECK(standby::promote(files, "second.test", clock));
}

}  // namespace posthorn::fuzz
