#include "peers/path.hpp"

#include "peers/record.hpp"

namespace posthorn::peers {

PathNews note_path(PathRecord& record, const PathSeen& seen, WallTime now)
{
    const bool suspected = within(record.suspected, PathRecord::suspected_for, now);
    if (seen.lost != 0 && seen.small) {
        record.suspected = {};
        return PathNews::none;
    }
    if (seen.lost != 0) {
        record.suspected = now;
        record.lost = seen.lost;
        return suspected ? PathNews::none : PathNews::suspected;
    }
    if (!seen.arrived)
        return PathNews::none;
    if (!seen.small) {
        record = {};
        return PathNews::none;
    }
    if (!suspected)
        return PathNews::none;
    record.suspected = {};
    record.told_by.clear();
    record.until = now + PathRecord::sure_for;
    return PathNews::learned;
}

bool small_segments(const PathRecord& record, WallTime now) { return record.until > now || within(record.suspected, PathRecord::suspected_for, now); }

}  // namespace posthorn::peers
