// observe/recorder.hpp: takes records: what programs read of the log. Their form is handoff/record.hpp's; here they are lines.
// Shape    one JSON object, in one line, of UTF-8, at most record_octets; what is none is dropped, and counted.
// Threads  record() may be called from any thread. It does not block a service (log_ring.hpp).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::observe {

/// Of one record: none is cut, since a half is no JSON.
inline constexpr std::size_t record_octets = 60 * 1024;

class Recorder {
public:
    virtual ~Recorder() = default;
    virtual void record(std::string_view object) = 0;
};

/// It may stand in the file: one object in one line of UTF-8. Of what is inside the braces no more is looked at.
bool fit_for_record(std::string_view object);

/// Keeps records in memory, for tests.
class MemoryRecorder final : public Recorder {
public:
    void record(std::string_view object) override { records.emplace_back(object); }
    std::vector<std::string> records;
};

}  // namespace posthorn::observe
