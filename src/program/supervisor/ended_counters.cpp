#include "supervisor/ended_counters.hpp"

#include "handoff/counting.hpp"

#include <algorithm>

namespace posthorn::supervisor {

void EndedCounters::add(const std::string& line, const std::string& program, const handoff::CountersReply& last)
{
    constexpr std::size_t others = 100;                            // more than there are declared counters with labels
    Sums& sums = lines_[{line, program}];
    for (const auto& counter : last.counters()) {
        if (counter.name().size() > name_octets)
            continue;
        std::string name = counter.name();
        if (sums.size() >= most && !sums.contains(name)) {
            const auto brace = std::min(name.find('{'), name.size());
            const auto other = handoff::labels_as_other(std::string_view(name).substr(brace));
            name.resize(brace);
            name += other.value_or("");
            if (!sums.contains(name) && (!other || sums.size() >= most + others))
                continue;
        }
        std::int64_t& value = sums[std::move(name)];
        value = handoff::sum(value, counter.value());
    }
}

void EndedCounters::tell(process::InstanceCounters& into) const
{
    for (const auto& [place, sums] : lines_) {
        process::ProcessCounters& told = *into.add_ended();
        told.set_service(place.first);
        told.set_program(place.second);
        for (const auto& [name, value] : sums) {
            auto& counter = *told.add_counters();
            counter.set_name(name);
            counter.set_value(value);
        }
    }
}

}  // namespace posthorn::supervisor
