"""Mutants of everything that paddlepress reads from files which somebody else may have written.

A mutant is an artifact, a deployable, a data set or a recipe with something changed at random, by a fixed seed.
How much of what protects it was made anew is its level:

========== =========================================================================================================
``raw``    nothing
``files``  the checksums of the files
``sealed`` those and the manifest's seal (and, for a deployable, the compression): all that says which bytes there are
``signed`` those and the digest: all that says what the model, the graph or the data set is
========== =========================================================================================================

What may become of a mutant:

``refused``    one of paddlepress's own errors, in one line
``same``       it gives what the original gives, and says of itself what the original says
``other``      it says something else of its history or name, which no digest of results can cover (from ``sealed`` on);
               or it is another model or data set, whose digest differs (``signed`` only): nothing in it could tell
``accepted``   a recipe that is a recipe still

Everything else is a fault: ``different`` results without a word, a ``traceback``, an error of ``several lines``, more
than 5 seconds of computing (``slow``), more than 1 GB (``memory``), a ``crash`` or a ``hang`` of the process.
"""
