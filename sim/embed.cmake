# Writes peer_table.cpp: every script as a string. PEERS, OUT.
set(table "#include \"sim/peers.hpp\"\n\n#include <array>\n\nnamespace posthorn::sim {\nnamespace {\nconstexpr auto files = std::to_array<PeerFile>({\n")
foreach(peer ${PEERS})
  get_filename_component(name ${peer} NAME_WE)
  file(READ ${peer} text)
  string(APPEND table "    {\"${name}\", R\"peer(${text})peer\"},\n")
endforeach()
string(APPEND table "});\n}  // namespace\n\nstd::span<const PeerFile> peer_files() { return files; }\n\n"
  "std::string_view peer_text(std::string_view name)\n{\n    for (const PeerFile& file : files)\n        if (file.name == name)\n            return file.text;\n    return {};\n}\n\n}  // namespace posthorn::sim\n")
file(WRITE ${OUT} "${table}")
