"""What the two players of a GAN minimise, one file each."""
