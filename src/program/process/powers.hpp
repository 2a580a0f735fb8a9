// process/powers.hpp: what a service may do after confine(), in words. What is not named is refused with EPERM by the
// system-call filter, and files beyond the named folders with EACCES by Landlock or because the root folder changed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::process {

enum class May : std::uint32_t {
    connect = 1u << 0,    // TCP to other hosts
    resolve = 1u << 1,    // datagrams and TCP to name servers
    read_message = 1u << 2,    // open content in the incoming folder for reading
    write_incoming = 1u << 3,    // make, sync and remove content files in the incoming folder
    spool = 1u << 4,    // the whole queue directory: databases, content
    pick_up = 1u << 5,    // read and remove files of the maildrop folder
    state = 1u << 6,    // read and write the data directory
    read_state = 1u << 7,    // read the data directory; LMDB files there are read without their locks
    listen = 1u << 8,    // bind and listen by itself (test peers, the admin service); others adopt descriptors
    compile = 1u << 9,    // make memory executable: PCRE2's just-in-time compiler
    start_commands = 1u << 10,   // start programs as other users: keeps the three capabilities this takes, and neither filter nor
                                 // Landlock, which those programs would inherit
    change_root = 1u << 12,      // with start_commands: start them behind another root folder
    read_named = 1u << 11,       // open the files of Confinement::readable, where no other power reads
};

enum class User { mail_owner, unchanged };
enum class Root { unchanged, column, spool };

class Powers {
public:
    constexpr Powers() = default;
    constexpr Powers(std::initializer_list<May> list)
    {
        for (const May may : list)
            bits_ |= static_cast<std::uint32_t>(may);
    }
    constexpr bool has(May may) const { return (bits_ & static_cast<std::uint32_t>(may)) != 0; }
    constexpr bool any(Powers of) const { return (bits_ & of.bits_) != 0; }

private:
    std::uint32_t bits_ = 0;
};

struct Confinement {
    User user = User::mail_owner;
    /// column: the queue directory where the chroot column says y (commands of others, which Landlock does not hold);
    /// spool: only where the kernel has no Landlock, whatever the column says.
    Root root = Root::spool;
    Powers may;
    /// Further files or folders to read, as absolute paths. They are beyond reach where the root folder changed.
    std::vector<std::string> readable;
    /// The user keeps these, where it is changed. Sockets and files of other programs are shared by them.
    std::vector<gid_t> groups;
};

/// "connect resolve read_message", for logs and tests.
std::string describe(Powers powers);

}  // namespace posthorn::process
