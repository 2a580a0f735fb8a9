// standby/mirrored_files.hpp: the spool's file operations, done here and told to the copy.
// Shape    what is_copied() does not name is done here alone, and a name that leads from the one to the other is told as a removal (content that becomes a spare).
// Durable  sync() and sync_folder() of what is copied return when this disk has it and, while it is in step, the copy's.
// Order    a sync through a file that was opened for reading is one that runs beside later writes (spool/log_sync.hpp); any other is a barrier.
#pragma once

#include "spool/file_ops.hpp"

#include <memory>

namespace posthorn::standby {

class Mirror;

/// Both must outlive it.
std::unique_ptr<spool::FileOps> mirrored_files(spool::FileOps& files, Mirror& mirror);

}  // namespace posthorn::standby
