// deliver/params.hpp: the parameters of this room.
#pragma once

#include "config/param.hpp"

namespace posthorn::deliver {

using config::Param;
using std::chrono::seconds;

inline constexpr Param<int> deliver_lock_attempts{
    .name = "deliver_lock_attempts", .initial = "20", .least = 1, .doc = "How often a mailbox that is locked is tried."};
inline constexpr Param<seconds> deliver_lock_delay{
    .name = "deliver_lock_delay", .initial = "1s", .least = seconds{1}, .doc = "How long between two attempts to lock a mailbox."};
inline constexpr Param<seconds> stale_lock_time{
    .name = "stale_lock_time", .initial = "500s", .least = seconds{1}, .doc = "A mailbox's lock file that is older is removed."};
inline constexpr Param<std::string> mailbox_delivery_lock{
    .name = "mailbox_delivery_lock", .initial = "fcntl, dotlock", .least = 1, .doc = "How mailbox files are locked: flock, fcntl, dotlock."};
inline constexpr Param<bool> strict_mailbox_ownership{
    .name = "strict_mailbox_ownership", .initial = "yes", .doc = "Defer mail for a mailbox file that does not belong to its user."};

inline constexpr Param<bool> allow_min_user{
    .name = "allow_min_user", .initial = "no", .doc = "Let an address that begins with - be a word of a command."};
inline constexpr Param<std::string> pipe_delivery_status_filter{
    .name = "pipe_delivery_status_filter", .initial = "$default_delivery_status_filter", .doc = "default_delivery_status_filter for pipe services."};

inline constexpr Param<std::string> virtual_uid_maps{
    .name = "virtual_uid_maps", .initial = "", .doc = "Tables with the user id that delivers to a virtual mailbox, by address."};
inline constexpr Param<std::string> virtual_gid_maps{
    .name = "virtual_gid_maps", .initial = "", .doc = "Tables with the group id that delivers to a virtual mailbox, by address."};
inline constexpr Param<int> virtual_minimum_uid{
    .name = "virtual_minimum_uid", .initial = "100", .least = 1, .doc = "The least user id that virtual_uid_maps may give."};
inline constexpr Param<config::Octets> virtual_mailbox_limit{
    .name = "virtual_mailbox_limit", .initial = "51200000", .doc = "The largest virtual mailbox file, or file in a maildir; 0: no limit."};
inline constexpr Param<std::string> virtual_mailbox_lock{
    .name = "virtual_mailbox_lock", .initial = "fcntl, dotlock", .least = 1, .doc = "How virtual mailbox files are locked: flock, fcntl, dotlock."};
inline constexpr Param<std::string> virtual_delivery_status_filter{.name = "virtual_delivery_status_filter",
                                                                   .initial = "$default_delivery_status_filter",
                                                                   .doc = "default_delivery_status_filter for virtual mailboxes."};

inline constexpr Param<std::string> alias_maps{
    .name = "alias_maps",
    .initial = "$default_database_type:/etc/aliases, nis:mail.aliases",
    .doc = "Tables with what names of this machine stand for: addresses, \"|command\", /file, :include:/file."};
inline constexpr Param<std::string> allow_mail_to_commands{
    .name = "allow_mail_to_commands", .initial = "alias, forward", .doc = "What may lead to a command: alias, forward, include."};
inline constexpr Param<std::string> allow_mail_to_files{
    .name = "allow_mail_to_files", .initial = "alias, forward", .doc = "What may lead to a file: alias, forward, include."};
inline constexpr Param<config::Raw> command_execution_directory{
    .name = "command_execution_directory",
    .initial = "",
    .doc = "Where commands of local delivery are started; $names as in forward_path. Empty: anywhere."};
inline constexpr Param<std::string> command_expansion_filter{
    .name = "command_expansion_filter",
    .initial = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    .least = 1,
    .doc = "The characters that may stand in the environment of a local command as they are; others become _."};
inline constexpr Param<std::string> execution_directory_expansion_filter{
    .name = "execution_directory_expansion_filter",
    .initial = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    .least = 1,
    .doc = "The same for $names of command_execution_directory."};
inline constexpr Param<std::string> forward_expansion_filter{.name = "forward_expansion_filter",
                                                             .initial = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
                                                             .least = 1,
                                                             .doc = "The same for $names of forward_path."};
inline constexpr Param<bool> sun_mailtool_compatibility{.name = "sun_mailtool_compatibility",
                                                        .initial = "no",
                                                        .doc = "Of the methods of mailbox_delivery_lock, dotlock alone counts for local.",
                                                        .obsolete = "mailbox_delivery_lock"};
inline constexpr Param<std::string> default_privs{
    .name = "default_privs", .initial = "nobody", .least = 1, .doc = "Whose rights commands and files of aliases have, where the table is root's."};
inline constexpr Param<bool> expand_owner_alias{
    .name = "expand_owner_alias",
    .initial = "no",
    .doc = "The sender of what an alias with an owner forwards is what owner-NAME stands for, not owner-NAME itself. "
           "With owner_request_special = no aliases have no owners."};
inline constexpr Param<bool> reset_owner_alias{
    .name = "reset_owner_alias", .initial = "no", .doc = "An alias without an owner gives forwarded mail its first sender back."};
inline constexpr Param<std::string> fallback_transport{
    .name = "fallback_transport", .initial = "", .doc = "transport:nexthop for names that are no user's."};
inline constexpr Param<std::string> fallback_transport_maps{.name = "fallback_transport_maps", .initial = "", .doc = "The same by name."};
inline constexpr Param<config::Raw> forward_path{.name = "forward_path",
                                                 .initial = "$home/.forward${recipient_delimiter}${extension}, $home/.forward",
                                                 .doc = "Where a user's .forward is looked for, in order."};
inline constexpr Param<bool> biff{.name = "biff", .initial = "yes", .doc = "comsat(8) is told of new mail in a user's mailbox file."};
inline constexpr Param<std::string> home_mailbox{
    .name = "home_mailbox",
    .initial = "",
    .doc = "A user's mailbox below the home folder; with / at its end a maildir. Empty: mail_spool_directory."};
inline constexpr Param<std::string> local_command_shell{
    .name = "local_command_shell", .initial = "", .doc = "What executes commands of local delivery; empty: /bin/sh where a command needs one."};
inline constexpr Param<std::string> local_delivery_status_filter{.name = "local_delivery_status_filter",
                                                                 .initial = "$default_delivery_status_filter",
                                                                 .doc = "default_delivery_status_filter for local delivery."};
inline constexpr Param<config::Raw> luser_relay{
    .name = "luser_relay", .initial = "", .doc = "Where mail for names that are no user's goes: an address, with $names as in forward_path."};
inline constexpr Param<std::string> mail_spool_directory{
    .name = "mail_spool_directory", .initial = "/var/mail", .doc = "The folder of the users' mailboxes; with / at its end they are maildirs."};
inline constexpr Param<config::Raw> mailbox_command{
    .name = "mailbox_command", .initial = "", .doc = "The command that gets a user's mail, instead of a mailbox."};
inline constexpr Param<std::string> mailbox_command_maps{.name = "mailbox_command_maps", .initial = "", .doc = "The same by user."};
inline constexpr Param<config::Octets> mailbox_size_limit{
    .name = "mailbox_size_limit", .initial = "51200000", .doc = "The largest mailbox file of local delivery, or file in a maildir; 0: no limit."};
inline constexpr Param<std::string> mailbox_transport{
    .name = "mailbox_transport", .initial = "", .doc = "transport:nexthop for all mailboxes, behind aliases and .forward."};
inline constexpr Param<std::string> mailbox_transport_maps{.name = "mailbox_transport_maps", .initial = "", .doc = "The same by user."};
inline constexpr Param<std::string> prepend_delivered_header{
    .name = "prepend_delivered_header",
    .initial = "command, file, forward",
    .doc = "What gets a Delivered-To: field: mail to a command, to a file, and what is forwarded."};
inline constexpr Param<bool> frozen_delivered_to{
    .name = "frozen_delivered_to",
    .initial = "yes",
    .doc = "Delivered-To: has the recipient as it was given to local delivery; no: the last address on the way that had an alias or a .forward."};
inline constexpr Param<bool> require_home_directory{
    .name = "require_home_directory", .initial = "no", .doc = "Defer mail for a user whose home folder is not there."};

inline constexpr config::ParamInfo params[] = {deliver_lock_attempts,
                                               deliver_lock_delay,
                                               stale_lock_time,
                                               mailbox_delivery_lock,
                                               strict_mailbox_ownership,
                                               allow_min_user,
                                               pipe_delivery_status_filter,
                                               virtual_uid_maps,
                                               virtual_gid_maps,
                                               virtual_minimum_uid,
                                               virtual_mailbox_limit,
                                               virtual_mailbox_lock,
                                               virtual_delivery_status_filter,
                                               alias_maps,
                                               allow_mail_to_commands,
                                               allow_mail_to_files,
                                               command_execution_directory,
                                               command_expansion_filter,
                                               execution_directory_expansion_filter,
                                               forward_expansion_filter,
                                               sun_mailtool_compatibility,
                                               default_privs,
                                               expand_owner_alias,
                                               reset_owner_alias,
                                               fallback_transport,
                                               fallback_transport_maps,
                                               frozen_delivered_to,
                                               forward_path,
                                               home_mailbox,
                                               biff,
                                               local_command_shell,
                                               local_delivery_status_filter,
                                               luser_relay,
                                               mail_spool_directory,
                                               mailbox_command,
                                               mailbox_command_maps,
                                               mailbox_size_limit,
                                               mailbox_transport,
                                               mailbox_transport_maps,
                                               prepend_delivered_header,
                                               require_home_directory};

}  // namespace posthorn::deliver
