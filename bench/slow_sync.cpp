// bench/slow_sync: preloaded into a mail system, counts what waits for the disk and makes it take longer.
//   POSTHORN_BENCH_SYNCS   a file of one 64-bit number, which goes up by one for every fsync, fdatasync, sync_file_range and syncfs
//   POSTHORN_BENCH_SYNC_US what each of them takes longer, in microseconds: a disk where the machine has nearly none
//   POSTHORN_BENCH_BACKLOG how many connections may wait to be accepted, where the program asks for fewer
#include <sys/mman.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace {

std::atomic<std::uint64_t>* syncs = nullptr;
long longer = 0;
int backlog = 0;

/// Before main: later the process may be confined.
[[gnu::constructor]] void prepare()
{
    if (const char* text = std::getenv("POSTHORN_BENCH_SYNC_US"))
        longer = std::atol(text);
    if (const char* text = std::getenv("POSTHORN_BENCH_BACKLOG"))
        backlog = std::atoi(text);
    const char* path = std::getenv("POSTHORN_BENCH_SYNCS");
    const int fd = path ? ::open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void* memory = ::mmap(nullptr, sizeof *syncs, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED)
        syncs = static_cast<std::atomic<std::uint64_t>*>(memory);
    ::close(fd);
}

int counted(long result)
{
    if (syncs)
        ++*syncs;
    if (longer > 0) {
        const timespec pause{.tv_sec = longer / 1'000'000, .tv_nsec = longer % 1'000'000 * 1000};
        ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    }
    return static_cast<int>(result);
}

}  // namespace

extern "C" {
int listen(int fd, int asked) noexcept { return static_cast<int>(::syscall(SYS_listen, fd, asked < backlog ? backlog : asked)); }
int fsync(int fd) { return counted(::syscall(SYS_fsync, fd)); }
int fdatasync(int fd) { return counted(::syscall(SYS_fdatasync, fd)); }
int syncfs(int fd) noexcept { return counted(::syscall(SYS_syncfs, fd)); }
int sync_file_range(int fd, off_t from, off_t octets, unsigned flags) { return counted(::syscall(SYS_sync_file_range, fd, from, octets, flags)); }
}
