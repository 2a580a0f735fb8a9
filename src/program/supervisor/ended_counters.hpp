// supervisor/ended_counters.hpp: what processes of a line had counted when they ended, added up. What of it was a gauge is known to who reads
//          it (admin/metrics.hpp), and left out there.
// Trust    none: what a service tells is held for hostile. Names have a limit of length, a line has one of different counters: beyond it what has
//          labels is counted with each label "other", as a process itself does (observe/counters.hpp). Sums stay in their range.
// Pure.
#pragma once

#include "handoff/frames.pb.h"
#include "process/control.pb.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace posthorn::supervisor {

class EndedCounters {
public:
    static constexpr std::size_t most = 2000, name_octets = 512;

    /// The last words of one process of this line and program.
    void add(const std::string& line, const std::string& program, const handoff::CountersReply& last);
    void tell(process::InstanceCounters& into) const;

private:
    using Sums = std::map<std::string, std::int64_t, std::less<>>;
    std::map<std::pair<std::string, std::string>, Sums> lines_;       // by line and program
};

}  // namespace posthorn::supervisor
