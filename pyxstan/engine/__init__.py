"""The engine: Stan programs into executables, and executables driven by cmdstanpy.

It knows nothing of astronomy: a `StanProgram` goes in, an executable that speaks CmdStan's command
line comes out.
"""
