// observe/log_collector.hpp: writes the log of all processes of an instance, in the order in which its lines were said.
// Order    by the stamps of the rings. Nothing is written before all rings have been seen quiet after its stamp; who is found writing for stuck_time has died
//          or stands still amid a line, and holds up nobody any more.
// Records  go another way (replace_records), in the same order.
// Thread   one, "log"; it looks gather_time after the first line, and sleeps while none come. Whoever calls never waits for the disk.
#pragma once

#include "observe/log_ring.hpp"
#include "observe/outlet.hpp"

#include <chrono>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace posthorn::observe {

class LogCollector {
public:
    static constexpr std::chrono::milliseconds stuck_time{1000};
    /// How long a line waits for others to leave with it: a write per line costs more than the rest of logging.
    static constexpr std::chrono::milliseconds gather_time{10};

    LogCollector(Fd target, LogForm form, std::chrono::milliseconds patience = reader_patience);
    LogCollector(LogCollector&&) = delete;
    /// Writes what is there.
    ~LogCollector();

    struct Ring {
        Fd memory;
        std::uint64_t number;
    };
    /// For another process, with the bell; read until that has ended, and forget() says so.
    Result<Ring> ring();
    Fd bell() const;
    /// What it said is still written.
    void forget(std::uint64_t number);
    /// Of this process. Where there is no memory for it, it drops all.
    std::shared_ptr<RingSink> own();

    void replace(Fd target, LogForm form) { outlet_.replace(std::move(target), form); }
    /// Where records go; empty: nowhere. What cannot be written there is said in the log under `tag` ("postfix/master[1]"), every tell_time at most.
    void replace_records(Fd target, std::string tag);
    static constexpr std::chrono::seconds tell_time{10};

private:
    struct Source {
        Source(MappedRing ring, std::uint64_t which) : reader(std::move(ring)), number(which) {}
        RingReader reader;
        std::uint64_t number;
        bool gone = false;
        std::chrono::steady_clock::time_point writing_since{};  // none: it was quiet
    };
    void run();
    bool look();
    bool all_quiet(std::chrono::steady_clock::time_point now);
    void wait_for_bell(std::chrono::milliseconds longest) const;
    void put_out_records();

    Outlet outlet_, records_;
    Fd bell_;
    std::mutex mutex_;
    std::list<Source> sources_;
    std::uint64_t rings_ = 0;  // made
    bool stopping_ = false;
    std::string tag_;  // for what is said of records

    // The thread's own.
    std::vector<RingReader::Line> lines_;
    Batch batch_, record_batch_;
    std::size_t lost_records_ = 0;  // and not said yet
    std::chrono::steady_clock::time_point told_{};
    std::int64_t complete_until_ = 0;
    std::thread thread_;
};

}  // namespace posthorn::observe
