// submit/drop_file.hpp: one file in the maildrop, complete or not at all.
// Shape    written as ".new.<pid>.<time>.<random>", synced, renamed to "<time>.<pid>.<random>", the folder synced: from then on it is safe.
//          Mode 0600 while it is made, then 0644 (mail_owner reads it); the folder is closed to others.
// Owner    the file belongs to who submits (the kernel's word for who it was; a set-gid postdrop keeps the real user).
// Errors   with an exit status of their own: temporary ones as 75, so that the caller keeps the message.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"

#include <string>
#include <string_view>

namespace posthorn::submit {

class DropFile {
public:
    static Result<DropFile> create(const std::string& maildrop);
    DropFile(DropFile&&) noexcept;
    /// Removes what was not committed.
    ~DropFile();

    Result<void> write(std::string_view octets);
    /// On stable storage under its final name, which is returned.
    Result<std::string> commit();

private:
    DropFile(std::string folder, std::string temporary, std::string final_name, Fd file);
    std::string folder_, temporary_, final_;
    Fd file_;
};

/// True for the names of finished files.
bool is_drop_name(std::string_view name);
/// True for the names of unfinished ones; those older than a day are left over.
bool is_unfinished_name(std::string_view name);

/// One octet to a wake-up socket ("public/pickup"); whether anybody hears it does not matter.
void wake(const std::string& socket_path);

}  // namespace posthorn::submit
