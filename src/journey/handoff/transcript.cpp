#include "handoff/transcript.hpp"

#include <algorithm>
#include <tuple>
#include <unordered_map>

namespace posthorn::handoff {

bool about(const Transcript& transcript, std::string_view queue_id)
{
    return std::ranges::find(transcript.queue_ids(), queue_id) != transcript.queue_ids().end();
}

std::vector<Transcript> joined(std::vector<Transcript> parts)
{
    std::ranges::sort(parts, [](const Transcript& one, const Transcript& other) {
        return std::tuple(one.began(), std::string_view(one.session()), one.part()) <
               std::tuple(other.began(), std::string_view(other.session()), other.part());
    });
    std::vector<Transcript> whole;
    std::unordered_map<std::string, std::size_t> last;              // part of a session
    for (Transcript& part : parts) {
        if (!part.tail()) {
            last[part.session()] = whole.size();
            whole.push_back(std::move(part));
            continue;
        }
        const auto before = last.find(part.session());
        if (before == last.end() || whole[before->second].part() + 1 != part.part())
            continue;
        Transcript& into = whole[before->second];
        for (TranscriptLine& line : *part.mutable_lines())
            *into.add_lines() = std::move(line);
        into.set_left_out(into.left_out() + part.left_out());
        for (std::string& id : *part.mutable_queue_ids())
            if (!about(into, id))
                into.add_queue_ids(std::move(id));
    }
    return whole;
}

}  // namespace posthorn::handoff
