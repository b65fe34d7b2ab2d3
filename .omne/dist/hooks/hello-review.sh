# The gate of the pipe `hello`: it lets a greeting through that was written for all three languages.
# A gate runs after its node succeeded, in the volume's root; ending well means yes.
greetings="$OMNE_RUN_DIR/nodes/$OMNE_NODE_ID.out"
lines=$(wc -l < "$greetings")
if [ "$lines" -lt 3 ]; then
    echo "only $lines greetings, 3 are needed" >&2
    exit 1
fi
echo "$lines greetings, good"
