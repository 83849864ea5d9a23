# Sourced at the root by scripts that use the program: $vapo, which is $VAPO or is built where it is not there yet.
vapo=${VAPO:-build/release/bin/vapo}
if [ ! -x "$vapo" ]; then
  tools/setup.sh build
  cmake --preset release --log-level=WARNING
  cmake --build --preset release --target vapo_program
fi
